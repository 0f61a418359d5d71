#!/usr/bin/env python3
"""test/prose/errors.py [--table]

Fails where docs/errors.md lacks a message of src/ or install/, has one that is
not there any more, has another SQLSTATE for it, or leaves cause or remedy empty.

Messages are collected from the source: each errmsg() of an ereport(), and each
RAISE with a message.  What differs from one time to the next (%s and the like) is
"…" here and there.  elog() is for what cannot happen, and has the SQLSTATE XX000:
the page says so once.  A message that is nothing but "…" is another's, passed on.

--table prints the page's table as the source has it, with its details and hints,
for a message that is new.
"""
import pathlib
import re
import sys

STATES = {
    "successful_completion": "00000", "warning": "01000",
    "connection_exception": "08000", "connection_failure": "08006", "ambiguous_parameter": "42P08",
    "invalid_json_text": "22032", "duplicate_json_object_key_value": "22030", "insufficient_resources": "53000",
    "feature_not_supported": "0A000",
    "cardinality_violation": "21000", "numeric_value_out_of_range": "22003",
    "null_value_not_allowed": "22004", "character_not_in_repertoire": "22021",
    "invalid_parameter_value": "22023", "check_violation": "23514",
    "invalid_grant_operation": "0LP01", "e_r_i_e_trigger_protocol_violated": "39P01",
    "e_r_i_e_event_trigger_protocol_violated": "39P03", "insufficient_privilege": "42501",
    "undefined_column": "42703", "undefined_object": "42704", "dependent_objects_still_exist": "2BP01", "duplicate_object": "42710",
    "undefined_function": "42883", "duplicate_function": "42723", "datatype_mismatch": "42804",
    "wrong_object_type": "42809", "reserved_name": "42939", "undefined_table": "42P01",
    "out_of_memory": "53200", "configuration_limit_exceeded": "53400",
    "program_limit_exceeded": "54000", "object_not_in_prerequisite_state": "55000",
    "program_limit_exceeded": "54000", "object_in_use": "55006",
    "lock_not_available": "55P03", "config_file_error": "F0000", "no_data_found": "P0002",
    "unique_violation": "23505", "duplicate_table": "42P07", "syntax_error": "42601",
    "internal_error": "XX000", "data_corrupted": "XX001",
}
DEFAULT = {"ERROR": "XX000", "FATAL": "XX000", "EXCEPTION": "P0001", "WARNING": "01000"}
C_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
SQL_STRING = re.compile(r"'((?:[^']|'')*)'")
PAGE = pathlib.Path("docs/errors.md")


def call_end(text, start):
    """The end of the parenthesis that opens at start, strings left out."""
    depth, i = 0, start
    while True:
        if text[i] == '"':
            i = C_STRING.match(text, i).end()
            continue
        if text[i] == "'":
            i += 4 if text[i + 1] == "\\" else 3
            continue
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        i += 1
        if depth == 0:
            return i


def plain(message):
    """Without what differs: formats, and the macros for those of int64."""
    message = re.sub(r"%(?:[0-9]+[$])?[-0-9.*]*(?:ll|l|z)?[sdugxfmcIL]|%(?!%)", "…", message)
    return message.replace('\\"', '"').replace("%%", "%")


def state(name, where):
    if re.fullmatch(r"[0-9A-Z]{5}", name):
        return name
    name = name.lower().removeprefix("errcode_")
    if name not in STATES:
        sys.exit(f'{where}: add the SQLSTATE of "{name}" to test/prose/errors.py')
    return STATES[name]


def c_strings(call, name):
    """The texts that a call of errmsg() or the like may have: one, or one per choice."""
    texts = []
    for found in re.finditer(rf"\b{name}(?:_internal|_plural)?\(", call):
        argument = call[found.end():call_end(call, found.end() - 1) - 1]
        argument = re.sub(r"U?INT64_FORMAT", '"%d"', argument)
        argument = re.sub(r"\bKGW_\w+", "", argument)
        strings = list(C_STRING.finditer(argument))
        if not strings:
            continue
        first = strings[0]
        choice = re.match(r"[^\"]*\?\s*$", argument[:first.start()])
        joined = [first.group(1)]
        for left, right in zip(strings, strings[1:]):
            between = argument[left.end():right.start()].strip()
            if between == "":
                joined[-1] += right.group(1)
            elif choice and between == ":":
                joined.append(right.group(1))
            else:
                break
        texts += [plain(text) for text in joined]
    return texts


def of_c(path):
    text = re.sub(r"/\*.*?\*/", lambda c: "\n" * c.group().count("\n"), path.read_text(), flags=re.S)
    for found in re.finditer(r"\bereport\((\w+)", text):
        call = text[found.start():call_end(text, found.start() + len("ereport"))]
        codes = re.findall(r"errcode\(\s*(ERRCODE_\w+)\s*\)", call)
        choices = re.findall(r"errcode\([^;]*?\?\s*(ERRCODE_\w+)\s*:\s*(ERRCODE_\w+)", call)
        codes = codes or [code for pair in choices for code in pair]
        where = f"{path}:{text.count(chr(10), 0, found.start()) + 1}"
        if codes:
            states = [state(code, where) for code in codes]
        elif "errcode(" in call:
            states = ["varies"]
        else:
            states = [DEFAULT.get(found.group(1), "00000")]
        for message in c_strings(call, "errmsg"):
            yield where, "/".join(dict.fromkeys(states)), message, \
                c_strings(call, "errdetail"), c_strings(call, "errhint")


def sql_text(option, statement):
    found = re.search(rf"\b{option}\s*=\s*(?:format\()?\s*" + SQL_STRING.pattern, statement)
    return [plain(found.group(1).replace("''", "'"))] if found else []


def of_sql(path):
    text = path.read_text()
    for found in re.finditer(r"\bRAISE (EXCEPTION|WARNING|NOTICE|LOG) " + SQL_STRING.pattern, text):
        where = f"{path}:{text.count(chr(10), 0, found.start()) + 1}"
        outside = SQL_STRING.sub(lambda s: "x" * len(s.group()), text[found.start():])
        statement = text[found.start():found.start() + outside.index(";")]
        code = re.search(r"ERRCODE\s*=\s*'(\w+)'", statement)
        yield where, state(code.group(1), where) if code else DEFAULT.get(found.group(1), "00000"), \
            plain(found.group(2).replace("''", "'")), sql_text("DETAIL", statement), sql_text("HINT", statement)


def collect():
    for path in sorted(pathlib.Path("src").rglob("*.[ch]")):
        yield from of_c(path)
    for path in sorted(pathlib.Path("install").rglob("*.sql")):
        yield from of_sql(path)


def main():
    found = {}
    for where, code, message, details, hints in collect():
        if message.strip("… :") not in ("", "kgwebhook"):
            entry = found.setdefault((code, message), [where, [], []])
            entry[1] += [d for d in details if d not in entry[1]]
            entry[2] += [h for h in hints if h not in entry[2]]
    if len(found) < 100:
        sys.exit(f"only {len(found)} messages were found in src/ and install/")
    if "--table" in sys.argv:
        for (code, message), (_, details, hints) in sorted(found.items()):
            print(f"| `{code}` | {message} | {'  '.join(details)} | {'  '.join(hints)} |".replace("  ", " "))
        return 0

    rows, wrong = {}, []
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        row = re.fullmatch(r"\| `(\w{5}(?:/\w{5})?|varies)` \| (.*?) \| (.*?) ?\| (.*?) ?\|", line)
        if row:
            rows[row.group(1), row.group(2)] = number
            if not row.group(3) or not row.group(4):
                wrong.append(f"{PAGE}:{number}: no cause or no remedy: {row.group(2)}")
    wrong += [f"{entry[0]}: not in {PAGE}: {key[0]} {key[1]}" for key, entry in found.items() if key not in rows]
    wrong += [f"{PAGE}:{number}: no longer in the source: {key[0]} {key[1]}" for key, number in rows.items() if key not in found]
    print("\n".join(wrong) or f"{len(rows)} messages")
    return 1 if wrong else 0


sys.exit(main())
