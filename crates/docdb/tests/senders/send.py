"""Real senders of logs, unmodified, against a real server: each sends entries of its own, which must
be found afterwards, once each and as they were sent.

usage: send.py HTTP_URL TCP_ADDRESS UDP_ADDRESS TLS_ADDRESS CA_FILE SKIPPED_FILE

Prints a line for each sender. A sender that is not installed is named as SKIPPED, and in the last file;
the exit code is 1 when one that is there failed.
"""

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


def host_port(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


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
global(workDirectory="{dir}" defaultNetstreamDriverCAFile="{ca}")
module(load="imfile" mode="polling" pollingInterval="1")
input(type="imfile" file="{dir}/in.log" tag="rsyslog-test" severity="error" facility="local5")
action(type="omfwd" target="{tcp_host}" port="{tcp_port}" protocol="tcp"
       TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format")
{tls}
"""
RSYSLOG_TLS = """
action(type="omfwd" target="localhost" port="{port}" protocol="tcp" TCP_Framing="octet-counted"
       StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name"
       StreamDriverPermittedPeers="localhost" template="tls")
template(name="tls" type="string"
         string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% rsyslog-tls %PROCID% %MSGID% - %msg%\\n")
"""


def rsyslog():
    daemon = shutil.which("rsyslogd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if daemon is None:
        raise Skipped("rsyslogd is not installed")
    modules = ["/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so", "/usr/lib/aarch64-linux-gnu/rsyslog/lmnsd_gtls.so"]
    has_tls = any(os.path.exists(module) for module in modules)
    with tempfile.TemporaryDirectory() as directory:
        tls = ""
        if has_tls:
            # A template must stand before the action that names it.
            action, template = RSYSLOG_TLS.split("template(name", 1)
            tls = "template(name" + template + action.format(port=host_port(TLS)[1])
        host, port = host_port(TCP)
        text = RSYSLOG.format(dir=directory, ca=CA, tcp_host=host, tcp_port=port, tls=tls)
        with open(f"{directory}/rsyslog.conf", "w", encoding="utf-8") as file:
            file.write(text)
        with open(f"{directory}/in.log", "w", encoding="utf-8") as file:
            file.writelines(f"by rsyslog {n}\n" for n in range(300))
        command = [daemon, "-n", "-f", f"{directory}/rsyslog.conf", "-i", f"{directory}/pid"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                entries = wait_for(300, app_name="rsyslog-test", limit=1000)
                check(entries[0], severity="err", facility=21)
                if has_tls:
                    wait_for(300, app_name="rsyslog-tls", limit=1000)
            except AssertionError as error:
                process.terminate()
                raise AssertionError(f"{error}\n{process.communicate()[0]}") from error
            process.terminate()
            process.communicate(timeout=60)
    if not has_tls:
        raise Skipped("octet counting passed; rsyslog's module for TLS is not installed")


SENDERS = [
    logger_of_util_linux,
    python_sys_log_handler,
    rfc5424_logging_handler,
    python_logging_loki,
    opentelemetry_exporter,
    elasticsearch_bulk_helper,
    rsyslog,
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
