"""What a task of a definition says about its calls, read from the definition itself."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from activityctl.domain.chain.amounts import WholeUnits
from activityctl.domain.chain.field_set import FieldSet
from activityctl.domain.chain.policy_fields import ExecutionPolicy
from activityctl.domain.manifests.calling_tasks import calling_body
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_tree import template_path, templates_by_path
from activityctl.domain.values.ids import canonical_json
from activityctl.frozen_dataclass import frozen_dataclass


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _Relay(_Read):
    relayers: tuple[str, ...] = ()
    max_fee_per_gas: WholeUnits | None = None


class _Body(_Read):
    executor_address: str
    plugin: str | None = None
    field_set: FieldSet = Field(default=FieldSet.SDK_12, alias="fields")
    autosign: str | None = None
    policy: ExecutionPolicy | None = None
    relay: _Relay | None = None


@frozen_dataclass
class RelayedTask:
    """Who may sign, who may send, and what the policy is; nothing of it comes from a run."""

    executor: str
    plugin: str | None
    field_set: FieldSet
    autosign: str | None
    policy: ExecutionPolicy | None
    relayers: tuple[str, ...]
    max_fee_wei: int | None


def relayed_task(spec: DefinitionSpec, task: str) -> RelayedTask | None:
    """Return what the template of a task says; None if no such task makes calls."""
    template = templates_by_path(spec).get(template_path(task))
    body = {} if template is None else calling_body(template)
    try:
        read = _Body.model_validate_json(canonical_json(dict(body)))
    except ValidationError:
        return None
    relay = read.relay or _Relay()
    fee = relay.max_fee_per_gas
    return RelayedTask(
        read.executor_address,
        read.plugin,
        read.field_set,
        read.autosign,
        read.policy,
        relay.relayers,
        None if fee is None else int(fee),
    )
