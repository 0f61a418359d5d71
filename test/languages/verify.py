"""
verify.py PROGRAM FUNCTION CASE...
    Has one of the guide's verifiers judge requests (test/perl/Judge.pm says
    what a case is, and what is printed).

test/languages/verify.py
"""
import importlib.util
import json
import sys
from pathlib import Path

program, function = sys.argv[1:3]
spec = importlib.util.spec_from_file_location('program', program)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
verify = getattr(module, function)

for case in map(Path, sys.argv[3:]):
    headers = {f'webhook-{name}': (case / name).read_text()
               for name in ('id', 'timestamp', 'signature')}
    body = (case / 'body').read_bytes()
    secrets = (case / 'secrets').read_text().split(' ')
    now = int((case / 'now').read_text())
    try:
        if function == 'verify_parsed':
            verify(json.loads(body), secrets, now)
        elif program != 'verify_body.py':
            verify(headers, body, secrets, now)
        else:
            verify(body, secrets, now)
        print('valid')
    except ValueError as error:
        print(f'refused: {error}')
