"""What tests stand on: child processes that never outlive the run, a broker, MinIO, metrics, results. Used by `run`."""

import collections
import contextlib
import ctypes
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import kafka_wire

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 240  # seconds for anything; only a hang takes as long


class Failed(Exception):
    """A test did not see what it had to see."""


class Skipped(Exception):
    """A test cannot run here; the reason is shown and counted."""


def _die_with_parent():
    """In the child: killed when the run is, even by SIGKILL."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


class Processes:
    """Starts children in groups of their own and ends them all at the end."""

    def __init__(self, folder):
        self.folder, self.count, self.running = folder, 0, []
        self.vital = None  # the broker: without it there is nothing to wait for

    def start(self, command, name=None, **more):
        """A child that runs on; its output goes to a file."""
        self.count += 1
        path = os.path.join(self.folder, "%03d-%s.log" % (self.count, name or os.path.basename(command[0])))
        with open(path, "wb") as log:
            log.write((shlex.join(command)[:2000] + "\n").encode())
            log.flush()
            more.setdefault("stdout", log)
            more.setdefault("stdin", subprocess.DEVNULL)
            child = subprocess.Popen(command, stderr=log, start_new_session=True, preexec_fn=_die_with_parent, **more)
        child.log = path
        self.running.append(child)
        return child

    def run(self, command, name=None, give=None, lawful=(0,), timeout=PATIENCE, **more):
        """A child that ends; what it printed. `give` is its input: bytes, or pieces of bytes. `lawful`: exit codes."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as piped:
            if give is not None:
                for piece in [give] if isinstance(give, bytes) else give:
                    piped.write(piece)
                piped.seek(0)
                more["stdin"] = piped
            child = self.start(command, name, stdout=output, **more)
            try:
                code = self._wait(child, name or command[0], timeout)
            finally:
                self.end(child, signal.SIGKILL)
            output.seek(0)
            printed = output.read()
        if code not in lawful:
            said = tail(child.log) + printed[-1500:].decode(errors="replace")
            raise Failed("%s exits with %d\n%s" % (name or os.path.basename(command[0]), code, said))
        return printed

    def _wait(self, child, name, timeout):
        end = time.monotonic() + timeout
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(0.5)
            if self.vital and self.vital.poll() is not None:
                raise Failed("the broker ended with %d\n%s" % (self.vital.returncode, tail(self.vital.log)))
            if time.monotonic() > end:
                raise Failed("%s hangs: ended after %d s\n%s" % (name, timeout, tail(child.log)))

    def end(self, child, how=signal.SIGTERM, timeout=40):
        """Ends a child and all its own; its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child in self.running:
            self.running.remove(child)
        return code

    def end_all(self):
        for child in list(self.running):
            self.end(child, signal.SIGKILL)


def tail(path, lines=15):
    with open(path, "rb") as log:
        return b"".join(log.readlines()[-lines:])[-3000:].decode(errors="replace")


def get(url):
    # No proxy of the environment stands between us and 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read()


def until(condition, what, timeout=30):
    """Asks every 20 ms until it is true."""
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError):
            if value := condition():
                return value
        if time.monotonic() > end:
            raise Failed("%s: not within %d s" % (what, timeout))
        time.sleep(0.02)


class Broker:
    """`penstock dev`, on ports that the system picks."""

    def __init__(self, processes, binary, data, flags=(), environment=()):
        self.processes = processes
        self.command = [binary, "dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", data, *flags]
        self.environment = {**os.environ, **dict(environment)}
        self.start()

    def start(self):
        self.child = self.processes.vital = self.processes.start(self.command, "penstock", env=self.environment)
        self.log = self.child.log

        def ready():
            with open(self.log, encoding="utf-8", errors="replace") as log:
                text = log.read()
            listen = re.search(r"listens on (127\.0\.0\.1:\d+)", text)
            http = re.search(r"(http://127\.0\.0\.1:\d+)/metrics", text)
            if self.child.poll() is not None:
                raise Failed("the broker does not start\n" + tail(self.log))
            if listen and http and get(http[1] + "/health/ready") is not None:
                self.bootstrap, self.http = listen[1], http[1]
                return True
            return False

        until(ready, "the broker is ready")

    def metric(self, name, **labels):
        """The sum of a counter's series that have these labels; None where a label has any value."""
        total = 0.0
        for line in get(self.http + "/metrics").decode().splitlines():
            series = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if series and series[1] == name:
                has = dict(re.findall(r'(\w+)="([^"]*)"', series[2] or ""))
                if all(has.get(label) == value for label, value in labels.items()):
                    total += float(series[3])
        return total

    def create_topic(self, topic, partitions):
        kafka_wire.create_topic(self.bootstrap, topic, partitions)

    def stop(self, how=signal.SIGTERM):
        """Its exit code."""
        return self.processes.end(self.child, how)


class Minio:
    """A MinIO server of our own with one bucket."""

    access, secret, bucket = "penstock-tests", "a-secret-of-the-tests", "clients"

    def __init__(self, processes, folder, data):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.endpoint = "http://127.0.0.1:%d" % port
        environment = {**os.environ, "MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret}
        command = [os.path.join(folder, "minio"), "server", data, "--address", "127.0.0.1:%d" % port, "--quiet"]
        self.child = processes.start(command, "minio", env=environment)
        until(lambda: get(self.endpoint + "/minio/health/ready") is not None, "MinIO is ready")

    def environment(self):
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1"}


class Results:
    """Runs tests one after the other, prints a line for each, and counts."""

    def __init__(self, expected, only):
        self.expected, self.only = expected, only
        self.counts = collections.Counter()

    def test(self, name, body, *arguments):
        if self.only and not any(word in name for word in self.only):
            return
        start = time.monotonic()
        try:
            note, outcome = body(*arguments) or "", "passed"
        except Skipped as reason:
            note, outcome = str(reason), "skipped"
            if os.environ.get("CI") == "true":
                note, outcome = "skipped, which CI=true forbids: %s" % reason, "failed"
        except Exception as error:  # a bug of a test is a failure of that test, not the end of the run
            kind = "" if isinstance(error, Failed) else type(error).__name__ + ": "
            note, outcome = kind + str(error), "failed"
        if name in self.expected and outcome != "skipped":
            text, reason = self.expected[name]
            if outcome == "passed":
                note, outcome = "passed, but was expected to fail: " + reason, "failed"
            elif text in note:
                note, outcome = reason, "expected"
            else:
                note = "failed otherwise than expected (%r is not in it): %s" % (text, note)
        self.counts[outcome] += 1
        word = {"passed": "ok", "failed": "FAILED", "skipped": "SKIPPED", "expected": "expected to fail"}[outcome]
        print("%-8s %6.1f s  %s%s" % (word, time.monotonic() - start, name, ": " + note if note else ""), flush=True)

    def end(self):
        c = self.counts
        last = "%d passed, %d failed, %d skipped" % (c["passed"], c["failed"], c["skipped"])
        print(last + (", %d expected to fail" % c["expected"] if c["expected"] else ""))
        return c["failed"] == 0 and c["passed"] > 0
