"""What stands in deploy/ against the schemas of Kubernetes and against the program's own parser of its settings.

    check.py PROGRAM

Nothing is started but `headwater check`, which reads settings, users and rules as a start would.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
VERSIONS = ["1.30", "1.34"]
KUSTOMIZE = "kustomize.config.k8s.io/v1beta1"
# Kinds that clusters learn from operators: what we write of them, by hand from their documentation. A tuple is a list of such.
TEXT, COUNT = str, int
CUSTOM = {
    ("keda.sh/v1alpha1", "ScaledObject"): {
        "scaleTargetRef": {"name": TEXT},
        "minReplicaCount": COUNT,
        "maxReplicaCount": COUNT,
        "pollingInterval": COUNT,
        "cooldownPeriod": COUNT,
        "fallback": {"failureThreshold": COUNT, "replicas": COUNT},
        "triggers": ({"type": TEXT, "metadata": {"serverAddress": TEXT, "query": TEXT, "threshold": TEXT, "activationThreshold": TEXT}},),
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        "selector": {"matchLabels": {"app.kubernetes.io/name": TEXT}},
        "podMetricsEndpoints": (
            {"port": TEXT, "path": TEXT, "interval": TEXT, "metricRelabelings": ({"sourceLabels": (TEXT,), "regex": TEXT, "targetLabel": TEXT},)},
        ),
    },
}
faults = []


def fault(place, what):
    faults.append(f"{place}: {what}")


def shape(place, value, wanted):
    if isinstance(wanted, tuple):
        if not isinstance(value, list) or not value:
            return fault(place, "should be a list")
        return [shape(f"{place}[{at}]", one, wanted[0]) for at, one in enumerate(value)]
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            return fault(place, "should be an object")
        for key in value.keys() - wanted.keys():
            fault(f"{place}.{key}", "is not known")
        for key in wanted.keys() - value.keys():
            fault(f"{place}.{key}", "is missing")
        return [shape(f"{place}.{key}", value[key], wanted[key]) for key in value.keys() & wanted.keys()]
    if not isinstance(value, wanted) or isinstance(value, bool):
        fault(place, f"{value!r} should be of {wanted.__name__}")


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def image_settings():
    """What the image says in its environment."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    said = " ".join(re.findall(r"^ENV (.*)$", text, re.M))
    return dict(re.findall(r"(HEADWATER_\w+)=(\S+)", said))


def program_takes(place, program, args, settings, files):
    """Lets the program read settings, with these files at their places."""
    with tempfile.TemporaryDirectory() as folder:
        def placed(value):
            for path in files:
                value = value.replace(path, f"{folder}{path}")
            return value

        for path, text in files.items():
            file = Path(f"{folder}{path}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(placed(text))
        env = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
        env.update({name: placed(value) for name, value in settings.items()})
        if args[:1] != ["serve"]:
            fault(place, f"{args} doesn't begin with serve")
        command = [program, "check", *map(placed, args[1:])]
        said = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
        if said.returncode != 0:
            fault(place, said.stderr.strip())
        if "which no rule knows" in said.stderr:
            fault(place, said.stderr.strip())
        return said.stdout


def check_schemas(path, document):
    place = f"{path.relative_to(ROOT)} {document.get('kind')}/{document.get('metadata', {}).get('name')}"
    kind = (document.get("apiVersion"), document.get("kind"))
    if kind in CUSTOM:
        shape(f"{place} spec", document.get("spec"), CUSTOM[kind])
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            fault(place, f"{error.message} (Kubernetes {version})")
        except kubernetes_validate.SchemaNotFoundError:
            fault(place, f"there is no such kind in Kubernetes {version}")


def check_kustomization(path):
    """What it names is there, and what is there is named."""
    said = documents(path)[0]
    if said.get("apiVersion") != KUSTOMIZE or said.get("kind") != "Kustomization":
        fault(path, "is no kustomization")
    named = said.get("resources", [])
    for name in named:
        if not (path.parent / name).exists():
            fault(path, f"{name} is not there")
    for file in path.parent.glob("*.yaml"):
        if file.name not in named and file != path:
            fault(path, f"{file.name} is not named")


def check_pod(place, document, objects, program):
    pod = document["spec"]["template"]["spec"]
    container = pod["containers"][0]
    role = document["metadata"]["name"]
    labels = document["spec"]["template"]["metadata"]["labels"]
    if labels != {**labels, **document["spec"]["selector"]["matchLabels"]}:
        fault(place, "selects other pods than its own")
    for key, wanted in {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}.items():
        if pod["securityContext"].get(key) != wanted:
            fault(place, f"securityContext.{key} should be {wanted}")
    hard = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    if container["securityContext"] != hard:
        fault(place, f"the container's securityContext should be {hard}")
    if pod.get("automountServiceAccountToken") is not False:
        fault(place, "it needs no token of the cluster")
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    if paths != {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}:
        fault(place, f"the program has no such health: {paths}")
    for bound in ("requests", "limits"):
        if "memory" not in container["resources"].get(bound, {}):
            fault(place, f"no bound of memory in {bound}")
    settings = image_settings()
    for variable in container["env"]:
        value = variable.get("value")
        if value is None:
            secret = variable["valueFrom"]["secretKeyRef"]
            value = objects["Secret", secret["name"]]["stringData"][secret["key"]]
        settings[variable["name"]] = value
    if settings.get("HEADWATER_ROLES") != role:
        fault(place, f"has the role {settings.get('HEADWATER_ROLES')}")
    if ("HEADWATER_STORE" in settings) != ("headwater/store" in labels):
        fault(place, "whoever has a store must be let through to it, and nobody else")
    files = {}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for volume in pod["volumes"]:
        if "configMap" in volume:
            texts = objects["ConfigMap", volume["configMap"]["name"]]["data"]
        elif "secret" in volume:
            texts = objects["Secret", volume["secret"]["secretName"]]["stringData"]
        else:
            continue
        files.update({f"{mounts[volume['name']]}/{name}": text for name, text in texts.items()})
    program_takes(place, program, container["args"], settings, files)
    port = settings["HEADWATER_HTTP"].rpartition(":")[2]
    if str(container["ports"][0]["containerPort"]) != port:
        fault(place, f"listens on {port}")


def check_kubernetes(program):
    objects = {}
    for path in sorted(DEPLOY.glob("kubernetes/**/*.yaml")):
        if path.name == "kustomization.yaml":
            check_kustomization(path)
            continue
        for document in documents(path):
            check_schemas(path, document)
            objects[document["kind"], document["metadata"]["name"]] = document
    deployments = {name: document for (kind, name), document in objects.items() if kind == "Deployment"}
    if len(deployments) < 8:
        fault("kubernetes", f"roles are missing: {sorted(deployments)}")
    for name, document in deployments.items():
        check_pod(f"kubernetes Deployment/{name}", document, objects, program)
    for (kind, name), document in objects.items():
        place = f"kubernetes {kind}/{name}"
        target = document.get("spec", {}).get("scaleTargetRef", {}).get("name")
        if target and target not in deployments:
            fault(place, f"scales {target}, which is not there")
        if kind == "Service":
            labels = document["spec"]["selector"]
            fits = [of for of in deployments.values() if labels.items() <= of["spec"]["template"]["metadata"]["labels"].items()]
            if len(fits) != 1:
                fault(place, f"leads to {len(fits)} deployments")


def check_compose(program):
    said = documents(DEPLOY / "compose.yaml")[0]
    given = {"NATS_PASSWORD": "n", "POSTGRES_PASSWORD": "p"}
    known = {"image", "build", "restart", "stop_grace_period", "read_only", "cap_drop", "security_opt", "mem_limit", "pids_limit", "configs",
             "profiles", "depends_on", "tmpfs", "ports", "environment", "volumes", "deploy", "command"}
    places = {"rules": DEPLOY / "rules.toml", "nats": DEPLOY / "nats.conf"}
    roles = set()
    for name, service in said["services"].items():
        place = f"compose {name}"
        for key in service.keys() - known:
            fault(place, f"{key} is not known")
        for volume in service.get("volumes", []):
            if volume.split(":")[0] not in said["volumes"]:
                fault(place, f"{volume} is no volume")
        for other in service.get("depends_on", []):
            if not set(service["profiles"]) <= set(said["services"][other]["profiles"]):
                fault(place, f"depends on {other}, which isn't in its profile")
        files = {}
        for config in service.get("configs", []):
            path = DEPLOY / said["configs"][config["source"]]["file"]
            if path != places[config["source"]]:
                fault(place, f"{path} is not what is meant")
            files[config["target"]] = path.read_text()
        if not service["image"].startswith("headwater:"):
            continue
        settings = image_settings()
        for key, value in service["environment"].items():
            settings[key] = re.sub(r"\$\{(\w+):-\}", lambda name: given[name[1]], value)
        roles.update(settings.get("HEADWATER_ROLES", "").split(","))
        program_takes(place, program, ["serve"], settings, files)
    missing = {"edge", "console", "listener", "processor", "notifier", "front", "inventory", "order"} - roles
    if missing:
        fault("compose", f"roles are missing: {sorted(missing)}")


def check_units(program):
    for path in sorted(DEPLOY.glob("*.service")):
        text = path.read_text()
        instance = "processor"
        settings = dict(pair.split("=", 1) for line in re.findall(r"^Environment=(.*)$", text, re.M) for pair in line.split())
        settings = {name: value.replace("%i", instance) for name, value in settings.items()}
        settings.update(re.findall(r"^#   (HEADWATER_\w+)=(\S+)$", text, re.M))
        start = re.search(r"^ExecStart=(.*)$", text, re.M)[1].replace("%i", instance).split()
        files = {"/etc/headwater/headwater.toml": ""}
        program_takes(path.name, program, start[1:], settings, files)


def main():
    program = str(Path(sys.argv[1]).resolve())
    check_kubernetes(program)
    check_compose(program)
    check_units(program)
    if faults:
        sys.exit("deploy/:\n  " + "\n  ".join(faults))
    print("deploy/ keeps its schemas, and the program takes every setting in it")


main()
