"""A cloud region on this machine: moto answers for EC2, IAM and S3, and each instance it runs is booted as a host."""

from __future__ import annotations

import io
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.integration.hosts import Host, Laboratory, laboratory

GATEWAY = "172.31.255.254"
REGION = "us-west-2"
BUCKET = "lnl-bucket"
KEY = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": REGION}
REFUSAL = (
    "<Response><Errors><Error><Code>InsufficientInstanceCapacity</Code><Message>There is no Spot capacity "
    "available that matches your request.</Message></Error></Errors><RequestID>x</RequestID></Response>"
)


class Region:
    """The region's state and its laptop."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.refuse_spot = False
        self.refused = 0
        self.launched: list[dict[str, str]] = []
        self._stop = threading.Event()
        self.environment = {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://{GATEWAY}:5000",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_prestart_worker_first_driver": "0",
            "PYTHONPATH": "/root/lnl-sweep",
        }
        self._hosts: dict[str, Host | None] = {}
        self._server = lab.inside(self._make_server)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve, self._boot)]
        self._threads[0].start()
        self._prepare()
        self.laptop = lab.boot("laptop", "172.31.255.253", {**self.environment, "PYTHONPATH": ""})
        self._threads[1].start()

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(service, endpoint_url=f"http://{GATEWAY}:5000", **KEY)

    def call(self, service: str, method: str, **words: Any) -> Any:
        """One call of the region's API."""
        return self.lab.inside(lambda: getattr(self.client(service), method)(**words))

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """Instances in one of these states, with their tags as a mapping."""
        found = []
        for reservation in self.call("ec2", "describe_instances")["Reservations"]:
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] in (states or ("pending", "running")):
                    instance["tags"] = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
                    found.append(instance)
        return found

    def workers(self) -> list[dict[str, Any]]:
        return [instance for instance in self.instances() if instance["tags"].get("ray-node-type") == "worker"]

    def terminate(self, instance: dict[str, Any]) -> None:
        """Take a machine away, as a spot market does."""
        self.call("ec2", "terminate_instances", InstanceIds=[instance["InstanceId"]])

    def objects(self, prefix: str) -> list[str]:
        answer = self.call("s3", "list_objects_v2", Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in answer.get("Contents", ())]

    def download(self, prefix: str, into: Path) -> Path:
        """Everything below a prefix, as files."""
        for key in self.objects(prefix):
            path = into / key.removeprefix(prefix).lstrip("/")
            if key.endswith("/"):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.call("s3", "get_object", Bucket=BUCKET, Key=key)["Body"].read())
        return into

    def _make_server(self) -> Any:
        import logging

        from moto.moto_api._internal import moto_api_backend
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        # What moto holds is the process's: another test's roles and keys would be this region's.
        moto_api_backend.reset()
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        application = self._answer(DomainDispatcherApplication(create_backend_app))
        server: Any = make_server(GATEWAY, 5000, application, threaded=True)
        # A host that was switched off never closes its connections: nobody waits for them.
        server.daemon_threads, server.block_on_close = True, False
        return server

    def _answer(self, application: Callable[..., Any]) -> Callable[..., Any]:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
                body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                form = dict(parse_qsl(body.decode()))
                if form.get("Action") == "RunInstances":
                    if self.refuse_spot and form.get("InstanceMarketOptions.MarketType") == "spot":
                        self.refused += 1
                        start_response("500 Internal Server Error", [("Content-Type", "text/xml")])
                        return [REFUSAL.encode()]
                    # EC2 starts as many as it can up to MaxCount; moto starts MinCount.
                    form["MinCount"] = form["MaxCount"]
                    body = urlencode(form).encode()
                environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
            return application(environ, start_response)

        return answer

    def _serve(self) -> None:
        self.lab.enter()
        self._server.serve_forever()

    def _prepare(self) -> None:
        policy = json.dumps({"Version": "2012-10-17"})
        self.call("iam", "create_role", RoleName="lnl-sweep", AssumeRolePolicyDocument=policy)
        self.call("iam", "create_instance_profile", InstanceProfileName="lnl-sweep")
        self.call("iam", "add_role_to_instance_profile", InstanceProfileName="lnl-sweep", RoleName="lnl-sweep")
        self.call("s3", "create_bucket", Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def _boot(self) -> None:
        while not self._stop.wait(0.5):
            for instance in self.instances("running", "shutting-down", "terminated", "stopped"):
                name, state = instance["InstanceId"], instance["State"]["Name"]
                if state == "running" and name not in self._hosts:
                    self._hosts[name] = self._start(instance)
                elif state != "running" and (host := self._hosts.get(name)):
                    self._hosts[name] = None
                    self.lab.power_off(host)

    def _start(self, instance: dict[str, Any]) -> Host:
        key = self.laptop.place / "root" / ".ssh" / f"{instance['KeyName']}.pem"
        public = subprocess.run(["ssh-keygen", "-y", "-f", str(key)], check=True, capture_output=True, text=True).stdout
        self.launched.append(
            {
                "type": instance["tags"]["ray-user-node-type"],
                "market": instance.get("InstanceLifecycle", "on-demand"),
                "at": time.strftime("%T"),
            }
        )
        return self.lab.boot(instance["InstanceId"], instance["PrivateIpAddress"], self.environment, public)

    def close(self) -> None:
        """Stop booting and answering; the hosts end with the laboratory."""
        self._stop.set()
        if self._threads[1].ident:
            self._threads[1].join(30)
        self._server.shutdown()
        self._threads[0].join(10)
        self.lab.inside(self._server.server_close)


@contextmanager
def region() -> Iterator[Region]:
    """A region that is gone at the end, with every machine in it."""
    with laboratory(f"{GATEWAY}/16") as lab:
        cloud = Region(lab)
        try:
            yield cloud
        finally:
            cloud.close()
