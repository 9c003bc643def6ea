"""Creates, updates, deletes, lists and describes alarms: the schedules in Temporal."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DescribeScheduleRequest,
    ListSchedulesRequest,
    UpdateScheduleRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activityctl.adapters.temporal.rpc_errors import RpcFailure, meaning_of
from activityctl.adapters.temporal.schedule_spec import (
    observed_in_full,
    observed_in_list,
    schedule_for,
)
from activityctl.domain.gitops.drift import ObservedAlarm
from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.values.sync_errors import refused_text, unanswered_text
from activityctl.errors import ActivityctlError, RefusedError, UnreachableError

_RPC_TIMEOUT: Final = timedelta(seconds=5)
_LIST_TIMEOUT: Final = timedelta(seconds=15)
_PAGE: Final = 500
"""Schedules on one page. Each takes about 1 KB; the server refuses answers over 4 MB."""
_UNANSWERED: Final = frozenset({RpcFailure.THROTTLED, RpcFailure.UNREACHABLE})


class TemporalScheduleClient:
    """The ScheduleClient port."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create_or_update(self, alarm_id: str, alarm: Alarm) -> None:
        """Create or update the alarm; idempotent."""
        request = CreateScheduleRequest(
            namespace=self._client.namespace,
            schedule_id=alarm_id,
            schedule=schedule_for(alarm_id, alarm),
            identity=self._client.identity,
            request_id=str(uuid.uuid4()),
        )
        try:
            await self._client.workflow_service.create_schedule(
                request, retry=True, timeout=_RPC_TIMEOUT
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                raise _failure(error) from error
            await self._update(request)

    async def _update(self, creation: CreateScheduleRequest) -> None:
        request = UpdateScheduleRequest(
            namespace=creation.namespace,
            schedule_id=creation.schedule_id,
            schedule=creation.schedule,
            identity=creation.identity,
            request_id=str(uuid.uuid4()),
        )
        try:
            await self._client.workflow_service.update_schedule(
                request, retry=True, timeout=_RPC_TIMEOUT
            )
        except RPCError as error:
            raise _failure(error) from error

    async def delete(self, alarm_id: str) -> None:
        """Delete the alarm; do nothing if it does not exist."""
        try:
            await self._client.get_schedule_handle(alarm_id).delete(rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise _failure(error) from error

    async def list_pages(self) -> AsyncIterator[list[ObservedAlarm]]:
        """Iterate over pages of all schedules whose id has our form.

        The list may be seconds old and shows less of each schedule than `describe` does.
        """
        request = ListSchedulesRequest(namespace=self._client.namespace, maximum_page_size=_PAGE)
        service = self._client.workflow_service
        while True:
            try:
                # The SDK's iterator fails at a schedule of others that it cannot decode.
                page = await service.list_schedules(request, retry=True, timeout=_LIST_TIMEOUT)
            except RPCError as error:
                raise _failure(error) from error
            listed = (observed_in_list(entry) for entry in page.schedules)
            yield [schedule for schedule in listed if schedule is not None]
            if not page.next_page_token:
                return
            request.next_page_token = page.next_page_token

    async def describe(self, alarm_id: str) -> ObservedAlarm | None:
        """Return the whole alarm as it is now; None when it does not exist."""
        request = DescribeScheduleRequest(namespace=self._client.namespace, schedule_id=alarm_id)
        service = self._client.workflow_service
        try:
            answer = await service.describe_schedule(request, retry=True, timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise _failure(error) from error
        return observed_in_full(alarm_id, answer.schedule)


def _failure(error: RPCError) -> ActivityctlError:
    if meaning_of(error) in _UNANSWERED:
        return UnreachableError(unanswered_text(error.message))
    return RefusedError(refused_text(error.message))
