"""Every kind of channel; one entry and one file add another."""

from engine.channels.apprise import APPRISE
from engine.channels.channel import ChannelKind
from engine.channels.email import EMAIL
from engine.channels.in_app import IN_APP
from engine.channels.pagerduty import PAGERDUTY
from engine.channels.slack import SLACK
from engine.channels.teams import TEAMS
from engine.channels.webhook import WEBHOOK

CHANNELS: dict[str, ChannelKind] = {
    kind.name: kind for kind in (IN_APP, EMAIL, SLACK, PAGERDUTY, TEAMS, WEBHOOK, APPRISE)
}
