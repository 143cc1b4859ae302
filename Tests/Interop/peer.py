"""A peer: a library's program, and the lines that go to it and come back."""

import subprocess
import threading


class Unsupported(Exception):
    """A thing that a peer, or the relay, says it does not have."""


class Failure(Exception):
    """What was expected did not happen."""


class Peer:
    # No command waits longer than this by itself; a peer that does not answer is stuck.
    PATIENCE = 120

    def __init__(self, program, role):
        self.program, self.role = program, role
        self.log = []
        self.process = None

    @property
    def name(self):
        return f"{self.program.name} {self.role}"

    def start(self):
        if self.process:
            return
        self.process = subprocess.Popen(
            [self.program, self.role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._read_errors, args=(self.process,), daemon=True).start()

    def _read_errors(self, process):
        for line in process.stderr:
            self.log.append(f"{self.name}! {line.rstrip()}")

    def kill(self):
        """As if its machine had lost its power, but for what the kernel still sends."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def stop(self):
        """The orderly way; how it exits is checked, as that is where sanitizers complain."""
        if not self.process:
            return
        try:
            self.process.stdin.close()
            status = self.process.wait(self.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} does not exit at the end of its input") from None
        self.process.stdout.close()
        self.process = None
        if status != 0:
            raise Failure(f"{self.name} exited with {status}\n" + "\n".join(self.log[-40:]))

    def ask(self, command):
        """Sends a command; returns the answer's words."""
        self.start()
        self.log.append(f"{self.name}< {command[:200]}")
        timer = threading.Timer(self.PATIENCE, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        finally:
            timer.cancel()
        self.log.append(f"{self.name}> {answer.rstrip()[:200]}")
        if not answer.endswith("\n"):
            raise Failure(f"{self.name} has ended, or did not answer, at: {command[:200]}")
        words = answer.rstrip("\n").split(" ")
        if words[:2] == ["error", "unsupported"]:
            raise Unsupported(f"{self.name}: {' '.join(words[2:])}")
        return words

    def ok(self, command):
        """Sends a command that has to succeed; returns what it gives."""
        words = self.ask(command)
        if words[0] != "ok":
            raise Failure(f"{self.name}: {command[:100]}: {' '.join(words)}")
        return words[1:]

    def error(self, command, *words):
        """Sends a command that has to fail, with one of these words."""
        answer = self.ask(command)
        if answer[0] != "error" or answer[1] not in words:
            raise Failure(f"{self.name}: {command[:100]}: expected error {' or '.join(words)}, got {' '.join(answer)}")

    def gives(self, command, *words):
        """Sends a command whose answer is known."""
        answer = self.ask(command)
        if answer != [str(word) for word in words]:
            expected = " ".join(str(word) for word in words)
            raise Failure(f"{self.name}: {command[:100]}: expected {expected}, got {' '.join(answer)}")
