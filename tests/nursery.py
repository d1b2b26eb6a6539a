"""Commands as real processes that start at once: forked from one that has imported all.

Run as a program it reads commands from its input, one line of JSON each: a list of
words starts `jrnn` with them and answers the process's number; such a number waits for
that process and answers its exit code, negative for a signal; {"ended": number} answers
whether it has ended, without waiting.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


class Nursery:
    """The program below, and the processes that it starts."""

    def __init__(self, environment: dict[str, str]):
        self.running: set[int] = set()
        self.folder = tempfile.TemporaryDirectory(prefix="jrnn-nursery-")
        self.program = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, self.folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            self.kill(process)
        self.program.stdin.close()
        self.program.wait(timeout=60)
        self.program.stdout.close()
        self.folder.cleanup()

    def start(self, *words) -> int:
        """Start a command; returns the number of its process."""
        process = self._ask([str(word) for word in words])
        self.running.add(process)
        return process

    def kill(self, process: int) -> None:
        """End it as a power cut would."""
        os.kill(process, signal.SIGKILL)  # one not yet waited for keeps its number

    def end(self, process: int) -> tuple[int, str]:
        """Wait for a process; returns its exit code and what it said."""
        code = self._ask(process)
        self.running.discard(process)
        said = Path(self.folder.name) / str(process)
        return code, said.read_text(errors="replace")

    def ended(self, process: int) -> bool:
        """Whether `end` will not wait."""
        return self._ask({"ended": process})

    def _ask(self, question):
        self.program.stdin.write(json.dumps(question) + "\n")
        self.program.stdin.flush()
        return json.loads(self.program.stdout.readline())


def _child(words: list[str], folder: str) -> None:
    said = os.open(Path(folder) / str(os.getpid()), os.O_CREAT | os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, said, said)):
        os.dup2(file, number)
    code = 70
    try:
        from jrnn.cli import main

        code = main(words)
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve(folder: str) -> None:
    import jrnn.cli.info
    import jrnn.cli.plot
    import jrnn.cli.sample
    import jrnn.cli.sweep
    import jrnn.cli.train  # noqa: F401

    for line in sys.stdin:
        question = json.loads(line)
        if isinstance(question, list):
            answer = os.fork()
            if answer == 0:
                _child(question, folder)
        elif isinstance(question, dict):
            ended = os.waitid(
                os.P_PID, question["ended"], os.WEXITED | os.WNOHANG | os.WNOWAIT
            )
            answer = ended is not None
        else:
            _, status = os.waitpid(question, 0)
            answer = os.waitstatus_to_exitcode(status)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
