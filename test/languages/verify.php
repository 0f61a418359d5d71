<?php
/*
 * verify.php PROGRAM WAY CASE...
 *	  Has the guide's verifiers judge requests, by "header" or by "body"
 *	  (test/perl/Judge.pm says what a case is, and what is printed).
 *
 * test/languages/verify.php
 */
error_reporting(E_ALL);
require $argv[1];

foreach (array_slice($argv, 3) as $dir) {
    $text = fn ($name) => file_get_contents("$dir/$name");
    $secrets = explode(' ', $text('secrets'));
    $now = (int) $text('now');
    try {
        if ($argv[2] === 'header') {
            verify_header($text('id'), $text('timestamp'), $text('signature'), $text('body'), $secrets, $now);
        } else {
            verify_body($text('body'), $secrets, $now);
        }
        echo "valid\n";
    } catch (RuntimeException $refusal) {
        echo "refused: {$refusal->getMessage()}\n";
    }
}
