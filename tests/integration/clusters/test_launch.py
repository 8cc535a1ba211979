"""What cluster.yaml launches: its node types through Ray's own AWS code against a server that answers like EC2."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
MY_ADDRESS = "198.51.100.7/32"
LAUNCHED = {"head": 1, "gpu_spot": 1, "gpu_on_demand": 1}


@dataclass
class Launched:
    config: dict[str, Any]
    instances: dict[str, list[dict[str, Any]]]
    volumes: dict[str, dict[str, Any]]
    groups: dict[str, dict[str, Any]]
    home: Path


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    pytest.importorskip("moto", reason="moto[server] answers for EC2")
    from moto.server import ThreadedMotoServer

    home = tmp_path_factory.mktemp("home")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patch.setenv(f"AWS_{name}", "x")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setenv("HOME", str(home))
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        try:
            yield launch(home)
        finally:
            server.stop()


def launch(home: Path) -> Launched:
    import boto3
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.providers import _get_node_provider
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(config)
    region = config["provider"]["region"]
    iam, ec2 = boto3.client("iam", region), boto3.client("ec2", region)
    iam.create_role(RoleName="lnl-sweep", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))
    iam.create_instance_profile(InstanceProfileName="lnl-sweep")
    iam.add_role_to_instance_profile(InstanceProfileName="lnl-sweep", RoleName="lnl-sweep")

    # As docs/cluster.md says, the group is made beforehand: Ray's own opens SSH to every address.
    group = ec2.create_security_group(GroupName="lnl-sweep", Description="lnl-sweep")["GroupId"]
    home_rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": MY_ADDRESS}]}
    own_rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[home_rule, own_rule])

    config = AWSNodeProvider.fillout_available_node_types_resources(config)
    ready = bootstrap_aws(copy.deepcopy(config))
    provider = _get_node_provider(ready["provider"], ready["cluster_name"], use_cache=False)
    for kind, count in LAUNCHED.items():
        role = "head" if kind == config["head_node_type"] else "worker"
        tags = {
            "ray-node-type": role,
            "ray-user-node-type": kind,
            "ray-node-name": f"ray-lnl-sweep-{role}",
            "ray-node-status": "uninitialized",
            "ray-launch-config": "hash",
        }
        provider.create_node(ready["available_node_types"][kind]["node_config"], tags, count)
    instances: dict[str, list[dict[str, Any]]] = {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            instance["tags"] = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
            instances.setdefault(instance["tags"]["ray-user-node-type"], []).append(instance)
    volumes = {disk["VolumeId"]: disk for disk in ec2.describe_volumes()["Volumes"]}
    groups = {group["GroupId"]: group for group in ec2.describe_security_groups()["SecurityGroups"]}
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    assert provider.non_terminated_nodes({}) == []
    return Launched(ready, instances, volumes, groups, home)


def test_each_type_is_launched_as_often_as_asked(launched: Launched) -> None:
    assert {kind: len(found) for kind, found in launched.instances.items()} == LAUNCHED


@pytest.mark.parametrize(
    ("kind", "instance_type", "lifecycle"),
    [("head", "m6i.xlarge", None), ("gpu_spot", "g5.xlarge", "spot"), ("gpu_on_demand", "g5.xlarge", None)],
)
def test_instance_type_and_market(launched: Launched, kind: str, instance_type: str, lifecycle: str | None) -> None:
    for instance in launched.instances[kind]:
        assert instance["InstanceType"] == instance_type
        assert instance.get("InstanceLifecycle") == lifecycle


def test_resources_are_those_of_the_instance_types(launched: Launched) -> None:
    types = launched.config["available_node_types"]
    told = {kind: types[kind]["resources"] for kind in LAUNCHED}
    assert told["head"]["CPU"] == 0 and "GPU" not in told["head"]
    for kind in ("gpu_spot", "gpu_on_demand"):
        # What Ray read from the (answered) EC2 catalogue stands beside what the file says.
        assert (told[kind]["CPU"], told[kind]["GPU"]) == (4, 1)
        assert told[kind]["accelerator_type:A10G"] == 1
    assert types["gpu_spot"]["priority"] == 10 and types["gpu_on_demand"]["priority"] == 0
    assert [types[kind]["max_workers"] for kind in LAUNCHED] == [0, 8, 8]


def test_every_node_has_the_profile(launched: Launched) -> None:
    for found in launched.instances.values():
        for instance in found:
            assert instance["IamInstanceProfile"]["Arn"].endswith(":instance-profile/lnl-sweep")


def test_every_node_has_one_encrypted_gp3_disk_that_goes_with_it(launched: Launched) -> None:
    for found in launched.instances.values():
        for instance in found:
            (disk,) = instance["BlockDeviceMappings"]
            volume = launched.volumes[disk["Ebs"]["VolumeId"]]
            assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (150, "gp3", True)
            assert disk["Ebs"]["DeleteOnTermination"] is True


def test_every_node_has_the_image_with_the_driver(launched: Launched) -> None:
    for kind in LAUNCHED:
        image = launched.config["available_node_types"][kind]["node_config"]["ImageId"]
        assert image.startswith("resolve:ssm:/aws/service/deeplearning/ami/") and "nvidia-driver" in image
        assert all(instance["ImageId"] == image for instance in launched.instances[kind])


def test_one_security_group_with_ssh_and_its_own_members(launched: Launched) -> None:
    used = {group["GroupId"] for found in launched.instances.values() for i in found for group in i["SecurityGroups"]}
    (group,) = (launched.groups[name] for name in used)
    assert group["GroupName"] == "lnl-sweep"
    outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"]]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in outside] == [("tcp", 22, 22)]
    assert outside[0]["IpRanges"] == [{"CidrIp": MY_ADDRESS}]
    inside = [rule for rule in group["IpPermissions"] if not rule["IpRanges"]]
    assert [pair["GroupId"] for rule in inside for pair in rule["UserIdGroupPairs"]] == [group["GroupId"]]


def test_the_key_pair_is_made_and_kept(launched: Launched) -> None:
    assert {i["KeyName"] for found in launched.instances.values() for i in found} == {"lnl-sweep"}
    key = launched.home / ".ssh" / "lnl-sweep.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert launched.config["auth"]["ssh_private_key"] == str(key)


def test_tags_name_cluster_and_role(launched: Launched) -> None:
    for kind, found in launched.instances.items():
        for instance in found:
            assert instance["tags"]["ray-cluster-name"] == "lnl-sweep"
            assert instance["tags"]["ray-node-type"] == ("head" if kind == "head" else "worker")
