"""The plain manifests and every supported configuration of the chart: valid, locked down, consistent."""

from __future__ import annotations

from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml

from tests.delivery.manifests import CONFIGURATIONS, REPOSITORY, Manifest, Render, of_kind, values_of

# The oldest version that the chart accepts, some between, and the newest known.
VERSIONS = ["1.25", "1.28", "1.31", "1.34", "1.37"]
# Custom resources of the Prometheus Operator: not in Kubernetes' own schemas; test_monitoring holds their content.
CUSTOM_KINDS = {"PrometheusRule", "ServiceMonitor"}
BACKEND = ["exchange-api", "exchange-engine", "exchange-projector", "exchange-publisher"]
WORKLOADS = ["postgres", "redis", "exchange-frontend", *BACKEND]
TOGETHER = "development-values.yaml"  # the configuration whose roles are not apart


@pytest.fixture(scope="session", params=["kubernetes", *CONFIGURATIONS])
def configuration(request: pytest.FixtureRequest) -> str:
    """One way to install: the plain manifests, or the chart with one file of helm/exchange/ci."""
    return str(request.param)


@pytest.fixture(scope="session")
def objects(configuration: str, plain: list[Manifest], render: Render) -> list[Manifest]:
    """All objects of that way to install."""
    return plain if configuration == "kubernetes" else render(values_of(configuration))


def pod_specs(objects: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """(name, labels, spec) of every pod that the objects make."""
    for one in objects:
        if one["kind"] == "Deployment":
            template = one["spec"]["template"]
            yield one["metadata"]["name"], template["metadata"]["labels"], template["spec"]
        elif one["kind"] == "Pod":
            yield one["metadata"]["name"], one["metadata"]["labels"], one["spec"]


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_in_the_strict_schema_of_each_supported_version(
    objects: list[Manifest], version: str
) -> None:
    checked = [one for one in objects if one["kind"] not in CUSTOM_KINDS]
    assert checked
    for one in checked:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schema_check_refuses_a_misspelt_field(plain: list[Manifest]) -> None:
    deployment = yaml.safe_load(yaml.safe_dump(of_kind(plain, "Deployment")["exchange-api"]))
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.31", strict=True)


def test_object_names_are_unique_and_every_object_is_in_the_namespace(objects: list[Manifest]) -> None:
    keys = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(keys) == len(set(keys))
    for one in objects:
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == "exchange", one["metadata"]["name"]


def test_services_select_pods_that_open_the_port(objects: list[Manifest]) -> None:
    pods = list(pod_specs(objects))
    for name, service in of_kind(objects, "Service").items():
        selected = [spec for _, labels, spec in pods if service["spec"]["selector"].items() <= labels.items()]
        assert len(selected) == 1, name
        ports = {port["name"] for container in selected[0]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name


def test_probes_ask_for_a_port_that_their_container_opens(objects: list[Manifest]) -> None:
    asked = 0
    for _, _, spec in pod_specs(objects):
        for container in spec["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" in container.get(probe, {}):
                    assert container[probe]["httpGet"]["port"] in ports
                    asked += 1
    assert asked >= 5


def test_every_key_that_a_pod_asks_for_exists_in_its_secret_or_config_map(objects: list[Manifest]) -> None:
    """A Secret that the installer brings (existingSecret) has the keys of kubernetes/secrets.yml."""
    brought = {"exchange-secrets": yaml.safe_load((REPOSITORY / "kubernetes/secrets.yml").read_text())}
    secrets = {**brought, **of_kind(objects, "Secret")}
    config_maps = of_kind(objects, "ConfigMap")
    for name, _, spec in pod_specs(objects):
        for container in containers(spec):
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {}).get("secretKeyRef")
                if source and not source.get("optional"):
                    assert source["key"] in secrets[source["name"]]["stringData"], (name, variable["name"])
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in config_maps, name


def test_volumes_that_are_mounted_exist_and_claims_are_made(objects: list[Manifest]) -> None:
    claims = of_kind(objects, "PersistentVolumeClaim")
    for name, _, spec in pod_specs(objects):
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        assert mounted == set(volumes), name
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            else:
                assert volume["emptyDir"]["sizeLimit"], "scratch space is bounded"


def test_the_ingress_sends_every_path_to_a_service_that_has_the_port(
    configuration: str, objects: list[Manifest]
) -> None:
    services = of_kind(objects, "Service")
    for ingress in of_kind(objects, "Ingress").values():
        routes = {
            path["path"]: path["backend"]["service"]
            for rule in ingress["spec"]["rules"]
            for path in rule["http"]["paths"]
        }
        for path in ("/api", "/swagger-ui", "/api-docs"):
            assert routes[path]["name"] == "exchange-api"
        assert routes["/ws"]["name"] == ("exchange-api" if configuration == TOGETHER else "exchange-publisher")
        assert routes["/"]["name"] == "exchange-frontend"
        assert "/metrics" not in routes, "metrics are for the cluster"
        for backend in routes.values():
            assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]["spec"]["ports"]}
        assert [rule["host"] for rule in ingress["spec"]["rules"]] == ingress["spec"]["tls"][0]["hosts"]


def test_every_pod_meets_the_restricted_pod_security_level(objects: list[Manifest]) -> None:
    for name, _, spec in pod_specs(objects):
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["readOnlyRootFilesystem"] is True, name


def test_every_container_states_its_needs_and_its_memory_limit(objects: list[Manifest]) -> None:
    for name, _, spec in pod_specs(objects):
        for container in containers(spec):
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name


def test_processes_are_asked_whether_they_live_and_whether_they_are_ready(objects: list[Manifest]) -> None:
    deployments = of_kind(objects, "Deployment")
    for name in set(BACKEND) & set(deployments):
        (container,) = deployments[name]["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert container["startupProbe"]["httpGet"]["path"] == "/livez"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_roles_apart_are_updated_one_pod_after_the_other(configuration: str, objects: list[Manifest]) -> None:
    deployments, budgets = of_kind(objects, "Deployment"), of_kind(objects, "PodDisruptionBudget")
    if configuration == TOGETHER:
        (container,) = deployments["exchange-api"]["spec"]["template"]["spec"]["containers"]
        assert container["command"] == ["exchange", "serve"]
        # A rolling update would wait for a new pod to be ready, which waits for the old one to stop; and a budget that
        # is never met would block every drain.
        assert deployments["exchange-api"]["spec"]["strategy"] == {"type": "Recreate"}
        assert "exchange-api" not in budgets
        return
    for name in BACKEND:
        (container,) = deployments[name]["spec"]["template"]["spec"]["containers"]
        assert container["command"] == ["exchange", "serve", name.removeprefix("exchange-")]
        rolling = {"maxSurge": 1, "maxUnavailable": 0}
        assert deployments[name]["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
        assert budgets[name]["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}
    assert deployments["exchange-engine"]["spec"]["replicas"] >= 2, "one leads, another one stands by"


def test_postgres_is_never_started_twice_on_one_volume(objects: list[Manifest]) -> None:
    for name, deployment in of_kind(objects, "Deployment").items():
        if name == "postgres":
            assert deployment["spec"]["strategy"] == {"type": "Recreate"}
            assert deployment["spec"]["replicas"] == 1


def test_traffic_is_denied_unless_a_policy_opens_it(configuration: str, objects: list[Manifest]) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    if configuration == TOGETHER:
        assert policies == {}, "this configuration switches them off"
        return
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    deployments = of_kind(objects, "Deployment")
    for name in deployments:
        assert policies[name]["spec"]["podSelector"] == {"matchLabels": {"app": name}}
    for name in {"postgres", "redis"} & set(deployments):
        (rule,) = policies[name]["spec"]["ingress"]
        assert rule["from"] == [{"podSelector": {"matchLabels": {"app": process}}} for process in BACKEND]
        for process in BACKEND:
            reached = [
                to["podSelector"]["matchLabels"]["app"]
                for egress in policies[process]["spec"]["egress"]
                for to in egress["to"]
                if "podSelector" in to
            ]
            assert name in reached, "both ends of the way must be open"


def test_the_manual_finds_its_files_objects_labels_and_ports(plain: list[Manifest]) -> None:
    files = ["namespace", "secrets", "configmap", "postgres-deployment", "redis-deployment", "api-deployment"]
    for name in [*files, "frontend-deployment", "ingress"]:
        assert (REPOSITORY / f"kubernetes/{name}.yml").is_file()
    deployments, services = of_kind(plain, "Deployment"), of_kind(plain, "Service")
    assert set(deployments) == set(services) == set(WORKLOADS)
    for name, deployment in deployments.items():
        assert deployment["spec"]["template"]["metadata"]["labels"]["app"] == name
        # `kubectl set image deployment/exchange-api exchange-api=...` addresses the container by this name.
        assert [container["name"] for container in deployment["spec"]["template"]["spec"]["containers"]] == [name]
    ports = {name: service["spec"]["ports"][0]["port"] for name, service in services.items()}
    assert ports == {"postgres": 5432, "redis": 6379, "exchange-frontend": 80, **dict.fromkeys(BACKEND, 8080)}
    assert of_kind(plain, "Ingress")["exchange-ingress"]["spec"]["rules"][0]["host"] == "exchange.local"
    assert list(of_kind(plain, "Namespace")) == ["exchange"]


def test_secrets_yml_holds_placeholders_only(plain: list[Manifest]) -> None:
    secret = of_kind(plain, "Secret")["exchange-secrets"]
    assert "data" not in secret
    for key, value in secret["stringData"].items():
        assert "REPLACE_ME" in value, key
