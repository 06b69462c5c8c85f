"""Both metrics ports are somebody else's: it says so and goes on; when they are free, it serves."""

import socket

TIER = "netns"


def run(host):
    squatters = [socket.create_server(("127.0.0.1", port)) for port in (2000, 2001)]
    host.standins.start()
    host.boot()
    told = host.status_where("cloudflared's exit is told", lambda status: status["connectors"][0]["last_exit"], 120)
    why = f"{told['health']['why']}; last exit: {told['connectors'][0]['last_exit']}"
    for squatter in squatters:
        squatter.close()
    host.registered(180)
    host.down()
    return f"“{why[:200]}”"
