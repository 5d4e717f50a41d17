// What a message takes to go to another end and come back, to see that a link is what it is said to be:
//   round_trip echo ADDRESS               sends back whatever comes, one connection at a time; prints "ready"
//   round_trip ping ADDRESS BYTES COUNT   prints {"median_ms": ..., "p95_ms": ..., "max_ms": ...}

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.h"
#include "lan/tcp.h"

namespace assay {
namespace {

void WaitFor(int socket, short what) {
  pollfd wait{socket, what, 0};
  poll(&wait, 1, -1);
}

// False at the end of the stream.
bool SendAll(int socket, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (sent < 0) {
      WaitFor(socket, POLLOUT);
      continue;
    }
    bytes += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

// Bytes received, at most `size`; 0 at the end of the stream.
size_t Receive(int socket, char* bytes, size_t size) {
  while (true) {
    const ssize_t count = recv(socket, bytes, size, 0);
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EAGAIN && errno != EINTR) return 0;
    WaitFor(socket, POLLIN);
  }
}

[[noreturn]] void Echo(const Address& address) {
  const Socket listener = Listen(address);
  fmt::print("ready\n");
  std::fflush(stdout);
  std::array<char, 65536> buffer;
  while (true) {
    WaitFor(listener.fd(), POLLIN);
    const Socket client(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client.fd() < 0) continue;
    SendAtOnce(client.fd());
    while (const size_t count = Receive(client.fd(), buffer.data(), buffer.size())) {
      if (!SendAll(client.fd(), buffer.data(), count)) break;
    }
  }
}

void Ping(const Address& address, size_t bytes, int count) {
  const std::optional<Socket> server = StartConnecting(address);
  if (!server.has_value()) throw std::runtime_error("nobody listens there");
  WaitFor(server->fd(), POLLOUT);
  SendAtOnce(server->fd());
  std::vector<char> message(bytes, 'x');
  std::vector<double> milliseconds;
  for (int i = 0; i < count; ++i) {
    const Stopwatch watch;
    if (!SendAll(server->fd(), message.data(), bytes)) throw std::runtime_error("the connection ended");
    for (size_t received = 0; received < bytes;) {
      const size_t more = Receive(server->fd(), message.data(), bytes - received);
      if (more == 0) throw std::runtime_error("the connection ended");
      received += more;
    }
    milliseconds.push_back(1e3 * watch.Seconds());
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double share) { return milliseconds[static_cast<size_t>(share * (count - 1))]; };
  fmt::print("{{\"median_ms\": {:.4f}, \"p95_ms\": {:.4f}, \"max_ms\": {:.4f}}}\n", at(0.5), at(0.95), at(1.0));
}

void Main(const std::vector<std::string>& arguments) {
  if (arguments.size() == 2 && arguments[0] == "echo") Echo(ParseAddress(arguments[1]));
  const int bytes = arguments.size() == 4 ? std::atoi(arguments[2].c_str()) : 0;
  const int count = arguments.size() == 4 ? std::atoi(arguments[3].c_str()) : 0;
  if (arguments.empty() || arguments[0] != "ping" || bytes < 1 || count < 1) {
    throw std::runtime_error("echo ADDRESS, or ping ADDRESS BYTES COUNT");
  }
  Ping(ParseAddress(arguments[1]), static_cast<size_t>(bytes), count);
}

}  // namespace
}  // namespace assay

int main(int count, char** arguments) {
  try {
    assay::Main({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    fmt::print(stderr, "round_trip: {}\n", error.what());
    return 1;
  }
}
