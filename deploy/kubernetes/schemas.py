"""Makes the JSON schemas of custom resources from the CRDs in their Go modules; needs Go.

`python deploy/kubernetes/schemas.py` writes them below `schemas/`, without descriptions and
strict: an unknown member is refused.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CRDS = {
    "github.com/kedacore/keda/v2@v2.21.0": (
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    "github.com/cloudnative-pg/cloudnative-pg@v1.27.0": (
        "config/crd/bases/postgresql.cnpg.io_clusters.yaml",
    ),
}


def strict(schema: Any) -> Any:
    """The schema without prose, in which objects have no other members than they name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if not name.startswith("x-")}
    if isinstance(kept.get("description"), str):
        del kept["description"]
    if "properties" in kept:
        kept["properties"] = {name: strict(one) for name, one in kept["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            kept.setdefault("additionalProperties", False)
    return {name: value if name == "properties" else strict(value) for name, value in kept.items()}


def main() -> None:
    """Download the modules and write the schemas."""
    for module, files in CRDS.items():
        words = ["go", "mod", "download", "-json", module]
        found = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        for file in files:
            crd = yaml.safe_load((Path(found["Dir"]) / file).read_text())["spec"]
            for version in crd["versions"]:
                if version["storage"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    schema["properties"]["metadata"] = {"type": "object"}
                    name = f"{crd['group']}_{version['name']}_{crd['names']['kind']}.json"
                    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
                    (HERE / "schemas" / name).write_text(text + "\n")


if __name__ == "__main__":
    main()
