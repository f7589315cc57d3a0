"""The calls of a batch by actors of a Ray cluster, each with LiteLLM imported once.

Keys do not travel: the driver's configuration does, without them, and each actor resolves them
where it runs. The driver remains the one that reads, limits, journals and writes.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from adapter._install import install_extra
from adapter._tables import leaves
from adapter.batches.calls import Calls, Outcome
from adapter.batches.checking import Destination, check_model
from adapter.batches.pool import START_SECONDS, Pool
from adapter.config.loading import Config, load_config
from adapter.config.provider import FIELDS, Provider
from adapter.errors import AdapterError, ConfigError
from adapter.keys.precedence import default_variable
from adapter.secrets.secret import Secret
from adapter.upstream.loading import set_command_defaults

__all__ = ["Actors"]

USAGE_STATISTICS = "RAY_USAGE_STATS_ENABLED"
"""Ray's variable; unset, it sends its maker what it runs on."""

OWN_KEY = "ADAPTER_BATCH_KEY_{}"
"""The variable that holds a key of the node's own configuration, in its actor alone."""


def portable(config: Config, names: Iterable[str]) -> dict[str, Any]:
    """Return what the configuration says of providers, for another machine: without keys.

    Raises :class:`ConfigError` for a header or parameter that is a secret written out.
    """
    tables, params, literal = [], {}, []
    for provider in map(config.find, names):
        if provider is None:  # one of LiteLLM's
            continue
        table = {name: getattr(provider, name) for name in FIELDS if name != "api_key"}
        if provider.api_key:
            literal.append(provider.name)
            table["api_key_env"] = default_variable(provider.name)
        tables.append({name: value for name, value in table.items() if value})
        params[provider.name] = dict(provider.extras)
        for path, value in leaves(params[provider.name]):
            if isinstance(value, Secret):
                raise ConfigError(
                    f"provider {provider.name!r}: {'.'.join(path)} holds a secret, which cannot "
                    'go to another machine: name a variable of the nodes, as in "$VAR"'
                )
    plugin = {"providers": params, "models": dict(config.models)}
    aliases = config.settings.get("router_settings", {}).get("model_group_alias")
    if aliases:
        plugin["router_settings"] = {"model_group_alias": dict(aliases)}
    return {"literal_keys": literal, "file": {"providers": tables, "plugin": {"litellm": plugin}}}


class Actor:
    """Makes calls on a node; Ray makes it, and runs its methods at the same time."""

    def __init__(self, configuration: dict[str, Any], settings: dict[str, Any]) -> None:
        self._configuration = configuration
        self._calls = Calls(**settings)

    async def start(self, models: list[str], direct: bool) -> list[tuple[str, int]]:
        """Return what is wrong with the keys of ``models``, with exit codes; import LiteLLM."""
        import tomlkit

        self._take_own_keys()
        # removed with the actor; there is no key in it
        self._file = tempfile.NamedTemporaryFile("w", suffix=".toml")  # noqa: SIM115
        self._file.write(tomlkit.dumps(self._configuration["file"]))
        self._file.flush()
        os.environ["ADAPTER_CONFIG"] = self._file.name
        config = load_config()
        errors = (check_model(model, config, direct=direct) for model in models)
        faults = [(str(error), int(error.code)) for error in errors if error is not None]
        if not faults:
            set_command_defaults()
            await self._calls.start()
        return faults

    def _take_own_keys(self) -> None:
        """Use the node's own configuration for keys that the driver has written out."""
        own = Config()
        with suppress(ConfigError):
            own = load_config()
        for variable, value in own.env.items():
            os.environ.setdefault(variable, value)
        for number, table in enumerate(self._configuration["file"]["providers"]):
            provider: Provider | None = own.find(table["name"])
            if (
                provider is not None
                and provider.api_key
                and provider.base_url == table["base_url"]
                and table["name"] in self._configuration["literal_keys"]
            ):
                table["api_key_env"] = OWN_KEY.format(number)
                os.environ[table["api_key_env"]] = provider.resolve_key().value

    async def call(self, url: str, body: str) -> dict[str, Any]:
        """Make a call, and return its outcome; whatever it raises is one."""
        return vars(await self._calls.call(url, json.loads(body)))


class _Remote:
    """An actor, seen from the driver."""

    def __init__(self, ray: Any, actor: Any, models: list[str], direct: bool) -> None:
        self._ray, self._actor = ray, actor
        self._models, self._direct = models, direct

    async def start(self) -> None:
        """Wait until LiteLLM is imported there. Raises :class:`AdapterError`."""
        start = self._actor.start.remote(self._models, self._direct)
        try:
            faults = await asyncio.wait_for(asyncio.wrap_future(start.future()), START_SECONDS)
        except (asyncio.TimeoutError, self._ray.exceptions.RayError) as error:
            raise AdapterError(
                f"a Ray actor did not start: {type(error).__name__}; is gptme-litellm installed on "
                "each node, and a CPU free?"
            ) from None
        if faults:
            refusal = AdapterError("on a node: " + "; ".join(text for text, _ in faults))
            refusal.exit_code = faults[0][1]
            raise refusal

    async def call(self, url: str, body: dict[str, Any]) -> Outcome | None:
        """Have a request made there; ``None`` where the actor or its node has died."""
        outcome = self._actor.call.remote(url, json.dumps(body))
        try:
            return Outcome(**await asyncio.wrap_future(outcome.future()))
        except self._ray.exceptions.RayError:
            return None

    async def close(self) -> None:
        """End the actor."""
        self._ray.kill(self._actor)


class Actors:
    """The actors of a cluster, ``number`` of them, one for each of its CPUs where that is ``None``.

    ``address`` is the cluster's; without one, a cluster of this machine alone is started, unless
    this program has connected to one already.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        destinations: list[Destination],
        number: int | None,
        address: str | None,
    ) -> None:
        self._settings = settings
        self._models = [destination.model for destination in destinations]
        self._configuration = portable(load_config(), [one.name for one in destinations])
        self._number = number
        self._address = address
        self._pool: Pool | None = None
        self._ray: Any = None  # where it was connected here

    async def start(self) -> None:
        """Connect, and start the actors. Raises :class:`AdapterError` where that fails."""
        try:
            import ray
        except ImportError:
            raise ConfigError(f"--engine ray needs Ray: {install_extra('ray')}") from None
        if not ray.is_initialized():
            os.environ.setdefault(USAGE_STATISTICS, "0")
            here = {} if self._address else {"include_dashboard": False}
            connect = partial(ray.init, address=self._address, log_to_driver=False, **here)
            try:
                await asyncio.to_thread(connect)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise AdapterError(f"the Ray cluster cannot be reached: {error}") from None
            self._ray = ray
        actors = ray.remote(
            num_cpus=1, max_restarts=0, max_concurrency=10_000, scheduling_strategy="SPREAD"
        )(Actor)

        def make() -> _Remote:
            actor = actors.remote(self._configuration, self._settings)
            return _Remote(ray, actor, self._models, self._settings["direct"])

        number = self._number or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._pool = Pool(number, make)
        await self._pool.start()

    async def call(self, url: str, body: dict[str, Any]) -> Outcome:
        """Have a request made by the actor that has the fewest."""
        if self._pool is None:
            raise AdapterError("the actors were not started")
        return await self._pool.call(url, body)

    async def close(self) -> None:
        """End the actors, and the connection that was made here."""
        if self._pool is not None:
            await self._pool.close()
        if self._ray is not None:
            await asyncio.to_thread(self._ray.shutdown)
