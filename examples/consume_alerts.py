"""Read streamops' alerts with a plain Kafka client; nothing of streamops is imported.

    python examples/consume_alerts.py --bootstrap localhost:9092 [--group ops] [--until-end]

prints one line an alert. Two rules make any consumer right:
- act only on a revision above the last one of its fingerprint: a processor that restarts sends
  the same records again;
- commit after acting, so that a crash shows an alert again rather than never.
And one makes it quiet: page nobody for an alert with `silenced` true; `noise` says why.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bootstrap", required=True, help="host:port of Kafka")
    parser.add_argument("--namespace", default="streamops")
    parser.add_argument("--group", default="consume-alerts", help="keeps the position")
    parser.add_argument("--until-end", action="store_true", help="stop at the end of the log")
    options = parser.parse_args()
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": f"{options.namespace}.{options.group}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([f"{options.namespace}.alerts"])
    try:
        consume(consumer, until_end=options.until_end)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


def consume(consumer: Consumer, *, until_end: bool) -> None:
    """Act on each new alert, then commit; return at the end of every partition if asked."""
    revisions: dict[str, int] = {}
    ended: set[int | None] = set()
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            ended.add(message.partition())
            if until_end and len(ended) == len(consumer.assignment()):
                return
            continue
        event = json.loads(message.value() or b"")
        if event["revision"] > revisions.get(event["fingerprint"], -1):
            revisions[event["fingerprint"]] = event["revision"]
            act(event)
        consumer.commit(message=message, asynchronous=False)


def act(event: dict[str, Any]) -> None:
    """Your part: page someone, open a ticket, write a line."""
    match event["type"]:
        case "AlertRaised":
            words = f"{event['severity']} {event['kind']} of {event['model']} {event['version']}"
            detail = f"{event['metric']} is {event['value']:g}, limit {event['limit']:g}"
            quiet = event.get("noise", {}).get("reason", "silence")
            raised = f"raised ({quiet})" if event.get("silenced") else "raised"
            print(event["time"], raised, words, event["feature"], detail, flush=True)
        case "AlertResolved":
            print(event["time"], "resolved", event["fingerprint"], event["reason"], flush=True)
        case "AlertSilenced":
            print(event["time"], "silenced", event["fingerprint"], event["until"], flush=True)


if __name__ == "__main__":
    main()
