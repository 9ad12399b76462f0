"""A budget that tells a webhook how far it is spent, and a receiver that believes only what is signed.

    python examples/budget_alerts.py

The receiver runs in this program, on loopback; in life it is a service of yours, and the two share a secret. Alerts are
sent once for all processes that share the ledger, and a receiver that is down for a while gets them later.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import os
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deepthrift import Client
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.alerts import AlertMonitor, Threshold, WebhookSink, verify_signature

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
SECRET = os.environ.get("ALERT_SECRET") or secrets.token_hex(16)
LONGEST = 64 * 1024


class Receiver(BaseHTTPRequestHandler):
    """Takes alerts, and refuses what nobody who knows the secret has signed."""

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), LONGEST))
        try:
            alert = verify_signature(
                SECRET,
                timestamp=self.headers.get("Deepthrift-Timestamp", ""),
                body=body,
                signature=self.headers.get("Deepthrift-Signature", ""),
            )
        except ValueError as error:
            print(f"refused: {error}", flush=True)
            self.send_response(403)
        else:
            print(f"{alert.severity}: {alert.title}", flush=True)
            self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of its own."""


def spend_it(ledger: Ledger) -> int:
    """Ask until the budget refuses; how often it was answered."""
    answered = 0
    with Client(URL, host="vllm", prices="brief", ledger=ledger) as client:
        while True:
            try:
                client.chat(f"Is {answered} even?", max_tokens=100)
            except BudgetExceeded as error:
                print(f"after {answered} answers: {error}")
                return answered
            answered += 1


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hook = f"http://127.0.0.1:{server.server_port}/alerts"
    rules = [Threshold("0.5"), Threshold("0.8")]
    try:
        with Ledger.open("memory:", budgets=[Budget("0.0003", per="day", name="trial")]) as ledger:
            # On leaving it looks once more, so that nothing which is due stays unsaid.
            with AlertMonitor(ledger, rules=rules, sinks=[WebhookSink(hook, secret=SECRET)]) as monitor:
                spend_it(ledger)
                monitor.check()
            with AlertMonitor(ledger, rules=[Threshold("0.6")], sinks=[WebhookSink(hook, secret="a guess")]) as monitor:
                monitor.check()
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
