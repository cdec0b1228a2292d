"""Real senders of logs, unmodified, against a real server: each sends entries of its own, which must
be found afterwards, once each and as they were sent.

usage: send.py HTTP_URL TCP_ADDRESS UDP_ADDRESS TLS_ADDRESS CA_FILE SKIPPED_FILE

SYSLOG_NG says where the root of an unpacked syslog-ng is, when it is not installed. Configurations that the
guide shows are taken out of it and run as they stand there, but for addresses, ports and certificates.

Prints a line for each sender. A sender that is not installed is named as SKIPPED, and in the last file;
the exit code is 1 when one that is there failed.
"""

import glob
import json
import logging
import logging.handlers
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse
import urllib.request

# How long entries may take to be found: generous, because the machine may be busy.
PATIENCE_S = 60

URL, TCP, UDP, TLS, CA, SKIPPED = sys.argv[1:7]
GUIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../../docs/guides/logs.md")


def host_port(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def shown(begins):
    """The block of the guide that begins so, with the addresses of this run in it."""
    with open(GUIDE, encoding="utf-8") as guide:
        blocks = guide.read().split("\n```")[1::2]
    [block] = [text for _, _, text in (block.partition("\n") for block in blocks) if text.startswith(begins)]
    (_, tcp), (_, tls) = host_port(TCP), host_port(TLS)
    for there, here in [
        ('port="2253"', f'port="{tcp}"'),
        ("port(2253)", f"port({tcp})"),
        ('("127.0.0.1", 2253)', f'("127.0.0.1", {tcp})'),
        ('port="6514"', f'port="{tls}"'),
        ("port(6514)", f"port({tls})"),
        ("/etc/ssl/docdb-ca.pem", CA),
        ("http://127.0.0.1:7717", URL),
    ]:
        block = block.replace(there, here)
    return block


class Skipped(Exception):
    """The sender is not here."""


def found(**query):
    """The entries that a search finds, the earliest first."""
    query["order"] = "oldest"
    with urllib.request.urlopen(f"{URL}/v1/logs?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)["entries"]


def wait_for(count, **query):
    """Waits until so many entries are found; more than that is a failure at once."""
    begun = time.monotonic()
    while True:
        entries = found(**query)
        if len(entries) > count:
            raise AssertionError(f"{len(entries)} instead of {count}: {entries}")
        if len(entries) == count:
            return entries
        if time.monotonic() - begun > PATIENCE_S:
            raise AssertionError(f"{len(entries)} of {count} for {query}: {entries}")
        time.sleep(0.05)


def check(entry, **expected):
    for name, value in expected.items():
        if entry.get(name) != value:
            raise AssertionError(f"{name} is {entry.get(name)!r} and not {value!r}: {entry}")


def logger_of_util_linux():
    if shutil.which("logger") is None:
        raise Skipped("util-linux's logger is not installed")
    for number, (form, transport, address, more) in enumerate(
        [
            ("--rfc5424", "--tcp", TCP, []),
            ("--rfc5424", "--udp", UDP, []),
            ("--rfc3164", "--tcp", TCP, []),
            ("--rfc3164", "--udp", UDP, []),
            ("--rfc5424", "--tcp", TCP, ["--octet-count"]),
            ("--rfc3164", "--tcp", TCP, ["--octet-count"]),
        ]
    ):
        host, port = host_port(address)
        tag = f"logger{number}"
        subprocess.run(
            ["logger", form, transport, *more, "--server", host, "--port", str(port)]
            + ["--priority", "local3.warning", "--tag", tag, "--id=77", f"sent by {tag}"],
            check=True,
            timeout=60,
        )
        [entry] = wait_for(1, app_name=tag)
        check(entry, message=f"sent by {tag}", severity="warning", facility=19, proc_id="77")
        check(entry, hostname=socket.gethostname().split(".")[0] if form == "--rfc3164" else entry["hostname"])
        if form == "--rfc5424" and "timeQuality" not in entry["structured_data"]:
            raise AssertionError(f"no timeQuality: {entry}")


def python_sys_log_handler():
    for kind, address in [(socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)]:
        log = logging.Logger("plain")
        handler = logging.handlers.SysLogHandler(host_port(address), socktype=kind)
        log.addHandler(handler)
        name = "tcp" if kind == socket.SOCK_STREAM else "udp"
        log.error("python plain %s", name)
        try:
            raise ValueError(f"python traced {name}")
        except ValueError:
            log.exception("python failed %s", name)
        handler.close()
        [plain] = wait_for(1, text=f'"python plain {name}"')
        check(plain, severity="err", message=f"python plain {name}")
        [failed] = wait_for(1, text=f'"python failed {name}"')
        lines = failed["message"].split("\n")
        if not lines[1].startswith("Traceback") or not lines[-1].startswith("ValueError"):
            raise AssertionError(f"the lines are not together: {failed}")


def python_as_the_guide_shows():
    exec(shown("import logging\nimport logging.handlers"), {})
    [entry] = wait_for(1, app_name="mailer")
    check(entry, severity="err", proc_id=str(os.getpid()))
    lines = entry["message"].split("\n")
    if lines[0] != "not sent" or lines[-1] != "OSError: connection refused":
        raise AssertionError(f"the traceback is not one entry: {entry}")


def opentelemetry_as_the_guide_shows():
    exec(shown("import logging\n\nfrom opentelemetry"), {})
    [entry] = wait_for(1, app_name="billing", sd="attributes.order=77")
    check(entry, severity="err", message="no invoice", source="otlp")


def rfc5424_logging_handler():
    from rfc5424logging import Rfc5424SysLogHandler

    for kind, address in [(socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)]:
        name = "tcp" if kind == socket.SOCK_STREAM else "udp"
        log = logging.Logger(f"rfc5424-{name}")
        handler = Rfc5424SysLogHandler(
            address=host_port(address), socktype=kind, appname=f"rfc5424-{name}", procid="9"
        )
        log.addHandler(handler)
        log.warning("größer %s", name, extra={"structured_data": {"id@1": {"user": 'a"b]'}}})
        handler.close()
        [entry] = wait_for(1, app_name=f"rfc5424-{name}")
        check(entry, message=f"größer {name}", severity="warning", proc_id="9")
        check(entry["structured_data"]["id@1"], user='a"b]')


def python_logging_loki():
    import logging_loki

    log = logging.Logger("loki")
    handler = logging_loki.LokiHandler(
        url=f"{URL}/loki/api/v1/push", tags={"application": "loki-test"}, version="1"
    )
    failures = []
    handler.handleError = failures.append
    log.addHandler(handler)
    log.warning("by loki", extra={"tags": {"service": "shop"}})
    if failures:
        raise AssertionError("the handler failed")
    [entry] = wait_for(1, source="loki")
    check(entry, message="by loki", severity="warning", app_name="shop")
    check(entry["structured_data"], application="loki-test", logger="loki")


def opentelemetry_exporter():
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    for compression in [Compression.NoCompression, Compression.Gzip]:
        service = f"otlp-{compression.value}"
        provider = LoggerProvider(resource=Resource.create({"service.name": service}))
        exporter = OTLPLogExporter(endpoint=f"{URL}/v1/logs", compression=compression)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        log = logging.Logger("otlp")
        log.addHandler(LoggingHandler(logger_provider=provider))
        for number in range(100):
            log.error("by otlp %d", number, extra={"number": number})
        provider.shutdown()
        entries = wait_for(100, app_name=service, limit=1000)
        check(entries[0], severity="err", source="otlp")
        numbers = sorted(entry["structured_data"]["attributes"]["number"] for entry in entries)
        if numbers != list(range(100)):
            raise AssertionError(f"not each once: {numbers}")
    _ = SeverityNumber


def elasticsearch_bulk_helper():
    from elasticsearch import Elasticsearch, helpers

    client = Elasticsearch(URL)
    if not client.info()["version"]["number"]:
        raise AssertionError("no version")
    documents = (
        {"_op_type": "create", "_index": "es-test", "@timestamp": "2026-01-31T00:00:00Z", "message": f"by bulk {n}"}
        for n in range(1200)
    )
    done, errors = helpers.bulk(client, documents)
    if done != 1200 or errors:
        raise AssertionError(f"{done} {errors}")
    with urllib.request.urlopen(f"{URL}/v1/logs/top?field=app_name&app_name=es-test") as answer:
        if json.load(answer)["total"] != 1200:
            raise AssertionError("not each once")


RSYSLOG = """
global(workDirectory="{dir}")
module(load="imfile" mode="polling" pollingInterval="1")
input(type="imfile" file="{dir}/in.log" tag="rsyslog-test" severity="error" facility="local5")
{actions}
"""

SYSLOG_NG = """
@version: {version}
options {{ stats-freq(0); }};
source s_src {{
  file("{dir}/in.log" follow-freq(0.2) flags(no-parse) program-override("syslog-ng-test")
       default-facility(local5) default-priority(err));
}};
{actions}
"""


def forwards(command, file, app, ways):
    """Runs a daemon that follows a file, adds 300 lines to it, and looks for them by each way."""
    with open(file, "w", encoding="utf-8"):
        pass
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            with open(file, "a", encoding="utf-8") as lines:
                lines.writelines(f"by {app} {n}\n" for n in range(300))
            for way in ways:
                entries = wait_for(300, app_name=app, source=f"syslog/{way} 127.0.0.1", limit=1000)
                check(entries[0], severity="err", facility=21)
                messages = [entry["message"].strip() for entry in entries]
                if sorted(messages) != sorted(f"by {app} {n}" for n in range(300)):
                    raise AssertionError(f"not each once by {way}")
        except AssertionError as error:
            process.terminate()
            raise AssertionError(f"{error}\n{process.communicate()[0]}") from error
        process.terminate()
        process.communicate(timeout=60)


def rsyslog():
    daemon = shutil.which("rsyslogd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if daemon is None:
        raise Skipped("rsyslogd is not installed")
    has_tls = bool(glob.glob("/usr/lib/*/rsyslog/lmnsd_gtls.so"))
    with tempfile.TemporaryDirectory() as directory:
        actions = shown('action(type="omfwd"')
        if has_tls:
            actions += shown("global(defaultNetstreamDriverCAFile")
        with open(f"{directory}/rsyslog.conf", "w", encoding="utf-8") as file:
            file.write(RSYSLOG.format(dir=directory, actions=actions))
        command = [daemon, "-n", "-f", f"{directory}/rsyslog.conf", "-i", f"{directory}/pid"]
        forwards(command, f"{directory}/in.log", "rsyslog-test", ["tcp", "tls"] if has_tls else ["tcp"])
    if not has_tls:
        raise Skipped("octet counting passed; rsyslog's module for TLS is not installed")


def syslog_ng():
    root = os.environ.get("SYSLOG_NG", "")
    daemon = f"{root}/usr/sbin/syslog-ng"
    if not os.path.exists(daemon):
        raise Skipped("syslog-ng is not installed, and its package is not to be had")
    libraries = f"{root}/usr/lib/syslog-ng"
    env = dict(os.environ, LD_LIBRARY_PATH=libraries)
    about = subprocess.run([daemon, "--version"], env=env, capture_output=True, text=True, check=False)
    if about.returncode != 0:
        raise Skipped(f"syslog-ng does not start: {about.stderr.strip().splitlines()[-1]}")
    # "syslog-ng 3 (3.38.1)"
    version = ".".join(about.stdout.split("(")[1].split(")")[0].split(".")[:2])
    with tempfile.TemporaryDirectory() as directory:
        actions = shown("destination d_docdb {") + shown("destination d_docdb_tls {")
        with open(f"{directory}/syslog-ng.conf", "w", encoding="utf-8") as file:
            file.write(SYSLOG_NG.format(dir=directory, version=version, actions=actions).lstrip())
        command = ["env", f"LD_LIBRARY_PATH={libraries}", daemon, "--foreground", "--no-caps", "--stderr"]
        command += ["--cfgfile", f"{directory}/syslog-ng.conf", "--persist-file", f"{directory}/persist"]
        command += ["--control", f"{directory}/control", "--pidfile", f"{directory}/pid"]
        modules = glob.glob(f"{libraries}/{version}") + glob.glob("/usr/lib/*/syslog-ng")
        if root and modules:
            command += ["--module-path", modules[0]]
        forwards(command, f"{directory}/in.log", "syslog-ng-test", ["tcp", "tls"])


SENDERS = [
    logger_of_util_linux,
    python_sys_log_handler,
    python_as_the_guide_shows,
    opentelemetry_as_the_guide_shows,
    rfc5424_logging_handler,
    python_logging_loki,
    opentelemetry_exporter,
    elasticsearch_bulk_helper,
    rsyslog,
    syslog_ng,
]


def main():
    failed, skipped = False, []
    for sender in SENDERS:
        name = sender.__name__.replace("_", " ")
        try:
            sender()
            print(f"passed   {name}", flush=True)
        except Skipped as why:
            skipped.append(f"{name}: {why}")
            print(f"SKIPPED  {name}: {why}", flush=True)
        except Exception:  # whatever a sender does, the others are tried
            failed = True
            print(f"FAILED   {name}\n{traceback.format_exc()}", flush=True)
    with open(SKIPPED, "w", encoding="utf-8") as file:
        file.write("; ".join(skipped))
    sys.exit(1 if failed else 0)


main()
