#include "lan/tcp.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace assay {

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

Address ParseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address address{};
  address.sin_family = AF_INET;
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const bool has_port = colon != std::string::npos && std::from_chars(text.data() + colon + 1, end, port).ptr == end;
  if (!has_port || port == 0 || inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    throw std::runtime_error(fmt::format("{}: not an address; give A.B.C.D:PORT", text));
  }
  address.sin_port = htons(port);
  return address;
}

Socket Listen(const Address& address) {
  Socket listener(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int yes = 1;
  if (setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
      bind(listener.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener.fd(), SOMAXCONN) != 0) {
    throw std::runtime_error(fmt::format("cannot listen: {}", std::strerror(errno)));
  }
  return listener;
}

std::optional<Socket> StartConnecting(const Address& address) {
  Socket connection(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int result = connect(connection.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (result != 0 && errno != EINPROGRESS) return std::nullopt;
  return connection;
}

void SendAtOnce(int socket) {
  const int yes = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

}  // namespace assay
