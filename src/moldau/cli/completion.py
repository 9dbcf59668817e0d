"""Shell completion: the scripts, and the names that are completed from the cluster.

A completion that fails or takes long is worse than none: every error means "no names", and the cluster has
`_TIMEOUT_S` to answer.
"""

import os

import click

_TIMEOUT_S = 0.8


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the shell's completion script.

    \b
    bash:  moldau completion bash > ~/.local/share/bash-completion/completions/moldau
    zsh:   moldau completion zsh > "${fpath[1]}/_moldau"
    fish:  moldau completion fish > ~/.config/fish/completions/moldau.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(ctx.find_root().command, {}, "moldau", "_MOLDAU_COMPLETE").source())


def complete_topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Topics of the cluster; internal ones only after ``__``."""
    try:
        names = _cluster(ctx).metadata().topics
    except Exception:
        return []
    shown = [name for name in sorted(names) if name.startswith(incomplete)]
    return [name for name in shown if incomplete.startswith("__") or not name.startswith("__")]


def complete_groups(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Groups of the cluster."""
    try:
        cluster = _cluster(ctx)
        listing = cluster.wait(cluster.admin.list_consumer_groups(request_timeout=_TIMEOUT_S), "list the groups")
        names = [each.group_id for each in listing.valid]
    except Exception:
        return []
    return [name for name in sorted(names) if name.startswith(incomplete)]


def complete_resources(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names for ``moldau config``: topics, broker ids or groups, by the kind that was given."""
    kind = ctx.params.get("kind")
    if kind == "topic":
        return complete_topics(ctx, param, incomplete)
    if kind == "group":
        return complete_groups(ctx, param, incomplete)
    try:
        ids = sorted(_cluster(ctx).metadata().brokers)
    except Exception:
        return []
    return [str(each) for each in ids if str(each).startswith(incomplete)]


def contexts(incomplete: str) -> list[str]:
    """Names of the contexts."""
    from moldau.cli.context import Contexts

    try:
        known = Contexts.load(os.environ).clusters
    except click.ClickException:
        return []
    return [name for name in known if name.startswith(incomplete)]


def _cluster(ctx: click.Context):  # type: ignore[no-untyped-def]
    from moldau.cli.options import connect

    params = ctx.params
    return connect(ctx, params.get("bootstrap"), params.get("context_name"), params.get("properties") or (), _TIMEOUT_S)
