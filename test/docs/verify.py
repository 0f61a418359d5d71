"""
verify.py PROGRAM HEADERS BODY NOW [parsed]
    Has one of the README's verifiers judge a request, with the clock at NOW
    (Unix seconds), by the secret in WEBHOOK_SECRET.

HEADERS is a file with a JSON object, BODY a file with the bytes.  Prints the
status of the event that was found valid, or "refused: " and why.  With
"parsed", the verifier gets what json.loads() made of the body.

test/docs/verify.py
"""
import importlib.util
import json
import os
import sys
import time

program, headers_file, body_file, now = sys.argv[1:5]
parsed = sys.argv[5:] == ['parsed']

spec = importlib.util.spec_from_file_location('program', program)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

with open(headers_file, encoding='utf-8') as file:
    headers = json.load(file)
with open(body_file, 'rb') as file:
    body = file.read()
secret = os.environ['WEBHOOK_SECRET']

time.time = lambda: float(now) + 0.9
try:
    if parsed:
        event = module.verify_parsed(json.loads(body), secret)
    elif os.path.basename(program) == 'verify_body.py':
        event = module.verify(body, secret)
    else:
        event = module.verify(headers, body, secret)
    print(event['status'])
except ValueError as error:
    print(f'refused: {error}')
