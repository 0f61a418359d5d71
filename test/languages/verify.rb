# verify.rb PROGRAM WAY CASE...
#	  Has the guide's verifiers judge requests, by "header" or by "body"
#	  (test/perl/Judge.pm says what a case is, and what is printed).
#
# test/languages/verify.rb
require File.expand_path(ARGV[0])

ARGV[2..].each do |dir|
  text = ->(name) { File.read("#{dir}/#{name}") }
  body = File.binread("#{dir}/body")
  secrets = text['secrets'].split(' ')
  now = Integer(text['now'])
  begin
    if ARGV[1] == 'header'
      Webhook.verify_header(text['id'], text['timestamp'], text['signature'], body, secrets, now: now)
    else
      Webhook.verify_body(body, secrets, now: now)
    end
    puts 'valid'
  rescue Webhook::Refused => e
    puts "refused: #{e.message}"
  end
end
