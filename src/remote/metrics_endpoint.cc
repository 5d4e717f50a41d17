#include "remote/metrics_endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace assay {
namespace {

constexpr int kPatienceSeconds = 2;  // with a client that does not read or write
constexpr size_t kLongestRequest = 8192;

void CloseAll(int listener, const int (&wake)[2]) {
  for (const int fd : {listener, wake[0], wake[1]}) {
    if (fd >= 0) close(fd);
  }
}

}  // namespace

MetricsEndpoint::MetricsEndpoint(int port, std::function<std::string()> text)
    : text_(std::move(text)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const int yes = 1;
  if (listener_ < 0 || setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
      bind(listener_, generic, size) != 0 || listen(listener_, 16) != 0 ||
      getsockname(listener_, generic, &size) != 0 || pipe(wake_) != 0) {
    const int error = errno;
    CloseAll(listener_, wake_);
    Fail(ErrorKind::kIo, "cannot serve metrics on port {}: {}; give another (--metrics-port)", port,
         std::strerror(error));
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

MetricsEndpoint::~MetricsEndpoint() {
  close(std::exchange(wake_[1], -1));
  thread_.join();
  CloseAll(listener_, wake_);
}

void MetricsEndpoint::Serve() {
  for (;;) {
    pollfd waits[2] = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) return;
    if (waits[1].revents != 0) return;
    if ((waits[0].revents & POLLIN) == 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    Answer(client);
    close(client);
  }
}

// HTTP/1.0: whatever is asked for, once its head has come.
void MetricsEndpoint::Answer(int client) {
  const timeval patience = {kPatienceSeconds, 0};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  std::string request;
  char bytes[1024];
  while (request.find("\r\n\r\n") == std::string::npos && request.size() < kLongestRequest) {
    const ssize_t n = recv(client, bytes, sizeof(bytes), 0);
    if (n <= 0) return;
    request.append(bytes, static_cast<size_t>(n));
  }
  const std::string body = text_();
  const std::string answer = fmt::format(
      "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
  std::string_view left = answer;
  while (!left.empty()) {
    const ssize_t n = send(client, left.data(), left.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    left.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace assay
