"""Creates the adapters from the settings; nothing else chooses adapters.

Adapters are imported inside the builder functions, so that a command loads only what it uses.
"""

from activityctl.wiring.backups import (
    load_backup,
    look_at_target,
    open_backup,
    take_backup,
    verify_backup,
)
from activityctl.wiring.certificates import CertificateFiles, ServerCertificate
from activityctl.wiring.chains import open_chains
from activityctl.wiring.files import (
    manifest_source,
    open_events,
    parse_event,
    parse_event_data,
    parse_events,
    parse_hook_body,
    parse_json,
    read_event_data,
    read_saved_request,
    sent_manifests,
    to_yaml,
)
from activityctl.wiring.issuers import open_token_verifier
from activityctl.wiring.local_token import make_local_token, read_local_token
from activityctl.wiring.ports import (
    Ports,
    open_ports,
)
from activityctl.wiring.remote import RemotePorts, open_remote_ports
from activityctl.wiring.secrets import (
    open_keys,
    open_secrets,
    read_hosts,
    read_keystore,
    with_found_secrets,
)
from activityctl.wiring.servers import (
    build_histories,
    build_schedule_client,
    build_search_attributes,
    build_starter,
    connect_temporal,
    database_url,
    migrate,
    migration_script,
    read_secret,
    unprotected_connections,
)
from activityctl.wiring.signer import (
    needs_signer,
    open_local_signer,
    open_signer,
    server_context,
    signer_socket,
    signer_token,
    split_address,
)
from activityctl.wiring.tasks import (
    Executors,
    build_evaluators,
    evaluating,
    known_kinds,
    open_executors,
    open_sources,
    open_spans,
    simulate,
    unguarded_hook_client,
)

__all__ = [
    "CertificateFiles",
    "Executors",
    "Ports",
    "RemotePorts",
    "ServerCertificate",
    "build_evaluators",
    "build_histories",
    "build_schedule_client",
    "build_search_attributes",
    "build_starter",
    "connect_temporal",
    "database_url",
    "evaluating",
    "known_kinds",
    "load_backup",
    "look_at_target",
    "make_local_token",
    "manifest_source",
    "migrate",
    "migration_script",
    "needs_signer",
    "open_backup",
    "open_chains",
    "open_events",
    "open_executors",
    "open_keys",
    "open_local_signer",
    "open_ports",
    "open_remote_ports",
    "open_secrets",
    "open_signer",
    "open_sources",
    "open_spans",
    "open_token_verifier",
    "parse_event",
    "parse_event_data",
    "parse_events",
    "parse_hook_body",
    "parse_json",
    "read_event_data",
    "read_hosts",
    "read_keystore",
    "read_local_token",
    "read_saved_request",
    "read_secret",
    "sent_manifests",
    "server_context",
    "signer_socket",
    "signer_token",
    "simulate",
    "split_address",
    "take_backup",
    "to_yaml",
    "unguarded_hook_client",
    "unprotected_connections",
    "verify_backup",
    "with_found_secrets",
]
