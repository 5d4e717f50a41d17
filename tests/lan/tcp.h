#pragma once

#include <netinet/in.h>

#include <optional>
#include <string>
#include <utility>

namespace assay {

// What the programs of the LAN in a box (tools/lan.sh) need of TCP. Failures are std::runtime_error.

// A file descriptor that is closed.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }

 private:
  int fd_;
};

using Address = sockaddr_in;

// "127.0.0.1:7000"
Address ParseAddress(const std::string& text);

// Neither blocks.
Socket Listen(const Address& address);
std::optional<Socket> StartConnecting(const Address& address);  // nothing when it failed at once

// Small messages do not wait for one another.
void SendAtOnce(int socket);

}  // namespace assay
