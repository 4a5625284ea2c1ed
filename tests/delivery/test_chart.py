"""The chart: lints in every supported configuration, says what is missing, makes the objects of kubernetes/."""

from __future__ import annotations

import tomllib

import helm_python
import pytest
import yaml

from tests.delivery.manifests import CHART, CONFIGURATIONS, REPOSITORY, Manifest, Render, values_of

INFO = 1


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("kube_version", ["v1.25.0", "v1.31.0", "v1.34.0"])
def test_the_chart_lints_strictly_in_every_supported_configuration(configuration: str, kube_version: str) -> None:
    report = helm_python.lint(
        CHART, values_of(configuration), strict=True, namespace="exchange", kube_version=kube_version
    )
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > INFO] == []


def without_labels_of_helm(one: Manifest) -> Manifest:
    """The object as kubernetes/ would state it: no labels and annotations that only a chart has."""
    copy: Manifest = yaml.safe_load(yaml.safe_dump(one))
    metadata = [copy["metadata"]]
    if copy["kind"] == "Deployment":
        metadata.append(copy["spec"]["template"]["metadata"])
    for entry in metadata:
        entry["labels"] = {
            key: value for key, value in entry["labels"].items() if key in ("app", "app.kubernetes.io/part-of")
        }
        kept = {
            key: value
            for key, value in entry.pop("annotations", {}).items()
            if not key.startswith(("checksum/", "helm.sh/"))
        }
        if kept:
            entry["annotations"] = kept
    return copy


def is_test_hook(one: Manifest) -> bool:
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def test_the_default_render_makes_exactly_the_objects_of_the_plain_manifests(
    plain: list[Manifest], render: Render
) -> None:
    def keyed(objects: list[Manifest]) -> dict[tuple[str, str], Manifest]:
        return {(one["kind"], one["metadata"]["name"]): without_labels_of_helm(one) for one in objects}

    # `helm install --create-namespace` makes the namespace.
    expected = keyed([one for one in plain if one["kind"] != "Namespace"])
    actual = keyed([one for one in render(values_of("inline-secrets-values.yaml")) if not is_test_hook(one)])
    assert actual.keys() == expected.keys()
    for key in expected:
        if key[0] == "Secret":
            assert actual[key]["stringData"].keys() == expected[key]["stringData"].keys()
        else:
            assert actual[key] == expected[key], key


def test_the_chart_refuses_to_install_without_secrets_and_names_the_way_out(render: Render) -> None:
    with pytest.raises(helm_python.HelmError, match=r"secrets\.postgresPassword is not set.*secrets\.existingSecret"):
        render({})
    with pytest.raises(helm_python.HelmError, match=r"secrets\.jwtSecret is not set"):
        render({"secrets": {"postgresPassword": "a-long-enough-password", "redisPassword": "a-long-enough-password"}})
    with pytest.raises(helm_python.HelmError, match=r"postgres\.databaseUrl is not set"):
        render(
            {
                "secrets": {"jwtSecret": "j" * 32, "redisPassword": "a-long-enough-password"},
                "postgres": {"enabled": False},
            }
        )


def test_roles_apart_need_redis_and_the_chart_says_so(render: Render) -> None:
    without = {
        "secrets": {"postgresPassword": "a-long-enough-password", "jwtSecret": "j" * 32},
        "redis": {"enabled": False},
    }
    with pytest.raises(helm_python.HelmError, match=r"need Redis: set redis\.enabled"):
        render(without)
    assert render({**without, "roles": "together"})


def test_the_chart_refuses_two_sources_of_one_secret(render: Render) -> None:
    with pytest.raises(helm_python.HelmError, match="both set"):
        render({"secrets": {"existingSecret": "mine", "jwtSecret": "j" * 32}})


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"api": {"replica": 3}}, "replica"),
        ({"unknown": True}, "unknown"),
        ({"api": {"replicas": "3"}}, "/api/replicas"),
        ({"secrets": {"jwtSecret": "REPLACE_ME" * 4}}, "/secrets/jwtSecret"),
        ({"secrets": {"jwtSecret": "short"}}, "/secrets/jwtSecret"),
        ({"secrets": {"postgresPassword": "needs/encoding/in/a/url"}}, "/secrets/postgresPassword"),
        ({"environment": "staging"}, "/environment"),
    ],
)
def test_values_outside_the_schema_are_refused_by_name(render: Render, values: Manifest, complaint: str) -> None:
    with pytest.raises(helm_python.HelmError, match=complaint):
        render(values)


def test_an_existing_secret_is_used_and_none_is_made(render: Render) -> None:
    objects = render({"secrets": {"existingSecret": "vault-made"}})
    assert not [one for one in objects if one["kind"] == "Secret"]
    assert "vault-made" in yaml.safe_dump(objects)
    assert "exchange-secrets" not in yaml.safe_dump(objects)


def test_one_version_names_the_package_the_chart_and_the_images(plain: list[Manifest]) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
    compose = yaml.safe_load((REPOSITORY / "docker/compose.yaml").read_text())["services"]
    images = {
        container["image"]
        for one in plain
        if one["kind"] == "Deployment"
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    assert {f"exchange/api:v{version}", f"exchange/frontend:v{version}"} <= images
    assert images == {service["image"] for service in compose.values()}
