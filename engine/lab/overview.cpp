#include "engine/lab/dns.h"
#include "engine/lab/ping.h"
#include "engine/lab/scenarios.h"
#include "engine/lab/web.h"

namespace engine::lab {

void buildOverview(Lab& lab)
{
    Network& network = lab.network();
    Host& web = network.addExternal("www.example.net", net::Ipv4Address{198, 51, 100, 80});
    web.run<WebServer>();
    web.run<DnsServer>();
    Host& reception = network.addInternal("reception", net::Ipv4Address{192, 168, 77, 21});
    reception.run<WebClient>(WebClient::Options{.server = {web.address(), kWebPort}});
    reception.run<DnsClient>(DnsClient::Options{.server = web.address()});
    Host& printer = network.addInternal("printer", net::Ipv4Address{192, 168, 77, 40});
    printer.run<Pinger>(Pinger::Options{.target = web.address()});
}

}  // namespace engine::lab
