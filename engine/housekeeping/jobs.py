"""Which jobs there are."""

from engine.channels.http import HttpSender
from engine.desk import Desk
from engine.housekeeping.budget_news import budget_news
from engine.housekeeping.day_figures import day_figures
from engine.housekeeping.dropping import dropping
from engine.housekeeping.heartbeat import heartbeat
from engine.housekeeping.job import Job
from engine.housekeeping.store_jobs import store_jobs
from engine.housekeeping.watch import Watch


def regular_jobs(desk: Desk, http: HttpSender) -> list[Job]:
    """The jobs of a worker, as it is configured."""
    jobs = [dropping(desk), day_figures(desk), budget_news(desk), Watch(desk).job(), store_jobs(desk)]
    return [*jobs, heartbeat(desk, http)] if desk.config.worker.heartbeat_url else jobs
