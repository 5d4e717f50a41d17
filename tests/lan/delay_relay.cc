// delay_relay LISTEN TARGET [--delay-us N] [--loss P] [--timeout-ms N] [--mbit N] [--seed N]: a link between two TCP
// ends that is as slow as it is told to be, for kernels without netem. Addresses are IPv4, A.B.C.D:PORT.
//
// Each direction by itself: bytes are cut into segments, pass a wire of --mbit one after another, and arrive --delay-us
// later. A segment is lost with a probability of --loss, and then it and all after it come when a sender would have
// sent it again: --timeout-ms later, the least that Linux waits for a lone segment. That is how loss feels to small
// messages; streams, whose losses are repaired sooner, it makes slower than they would be. Prints "ready" when it
// listens.

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "lan/tcp.h"

namespace assay {
namespace {

constexpr size_t kSegmentBytes = 1448;        // of an Ethernet frame with TCP's time stamps
constexpr size_t kMostQueuedBytes = 4 << 20;  // of a direction; then its sender has to wait
constexpr int64_t kNever = INT64_MAX;         // nanoseconds
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

struct Link {
  int64_t delay = 0;  // nanoseconds, one way
  double loss = 0.0;
  int64_t timeout = 200'000'000;      // nanoseconds
  double nanoseconds_per_byte = 0.0;  // 0: no limit
};

int64_t Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
}

// What flies from one socket to the other. In the order of its arrival: a later segment never overtakes.
class Direction {
 public:
  // The link has to outlive it.
  Direction(const Link& link, uint64_t seed) : link_(&link), rng_(seed) {}

  void Send(std::string_view bytes, int64_t now) {
    // Where nothing happens to single segments, what came together goes together.
    const bool apart = link_->loss > 0.0 || link_->nanoseconds_per_byte > 0.0;
    const size_t step = apart ? kSegmentBytes : bytes.size();
    for (size_t at = 0; at < bytes.size(); at += step) {
      const std::string_view segment = bytes.substr(at, step);
      wire_free_ = std::max(wire_free_, static_cast<double>(now)) +
                   link_->nanoseconds_per_byte * static_cast<double>(segment.size());
      int64_t arrival = static_cast<int64_t>(wire_free_) + link_->delay;
      if (rng_.Uniform() < link_->loss) arrival += link_->timeout;
      last_arrival_ = std::max(last_arrival_, arrival);
      flying_.push_back({last_arrival_, std::string(segment)});
      queued_ += segment.size();
    }
  }

  // The end of the stream travels as any byte.
  void SendEnd(int64_t now) {
    last_arrival_ = std::max(last_arrival_, now + link_->delay);
    flying_.push_back({last_arrival_, ""});
  }

  // Writes what has arrived. False when the receiver is gone.
  bool Deliver(int socket, int64_t now) {
    blocked_ = false;
    while (!flying_.empty() && flying_.front().arrival <= now) {
      std::string& bytes = flying_.front().bytes;
      if (bytes.empty()) {
        shutdown(socket, SHUT_WR);
        ended_ = true;
      } else {
        const ssize_t written = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (written < 0 && errno != EAGAIN && errno != EINTR) return false;
        const size_t taken = written > 0 ? static_cast<size_t>(written) : 0;
        queued_ -= taken;
        bytes.erase(0, taken);
        if (!bytes.empty()) {
          blocked_ = true;
          return true;
        }
      }
      flying_.pop_front();
    }
    return true;
  }

  bool full() const { return queued_ >= kMostQueuedBytes; }
  bool blocked() const { return blocked_; }  // the receiver takes no more for now
  bool ended() const { return ended_; }      // and its end was delivered
  int64_t next_arrival() const { return flying_.empty() || blocked_ ? kNever : flying_.front().arrival; }

 private:
  struct Segment {
    int64_t arrival;
    std::string bytes;  // none: the end of the stream
  };

  const Link* link_;
  Rng rng_;
  std::deque<Segment> flying_;
  size_t queued_ = 0;
  double wire_free_ = 0.0;
  int64_t last_arrival_ = 0;
  bool blocked_ = false, ended_ = false;
};

// A client and the server's socket that was opened for it; side 0 is the client.
class Connection {
 public:
  Connection(Socket client, Socket server, const Link& link, uint64_t seed)
      : sides_{std::move(client), std::move(server)}, to_{Direction(link, 2 * seed + 1), Direction(link, 2 * seed)} {}

  int socket(size_t side) const { return sides_[side].fd(); }

  // False when the connection is over.
  bool Handle(size_t side, uint32_t events, int64_t now) {
    if (side == 1 && (events & (EPOLLOUT | EPOLLERR)) != 0) connected_ = true;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !Read(side, now)) return false;
    return Deliver(now);
  }

  bool Deliver(int64_t now) {
    for (const size_t side : {0, 1}) {
      if (side == 1 && !connected_) continue;
      if (!to_[side].Deliver(socket(side), now)) return false;
    }
    return !(to_[0].ended() && to_[1].ended());
  }

  // What epoll is to wait for on that side.
  uint32_t Wanted(size_t side) const {
    uint32_t events = 0;
    if (!read_to_end_[side] && !to_[1 - side].full()) events |= EPOLLIN;
    if (to_[side].blocked() || (side == 1 && !connected_)) events |= EPOLLOUT;
    return events;
  }

  int64_t next_arrival() const { return std::min(to_[0].next_arrival(), connected_ ? to_[1].next_arrival() : kNever); }

  std::array<uint32_t, 2> watched = {};  // what epoll waits for now

 private:
  bool Read(size_t side, int64_t now) {
    std::array<char, 65536> buffer;
    while (!read_to_end_[side] && !to_[1 - side].full()) {
      const ssize_t count = recv(socket(side), buffer.data(), buffer.size(), 0);
      if (count < 0) return errno == EAGAIN || errno == EINTR;
      if (count == 0) {
        read_to_end_[side] = true;
        to_[1 - side].SendEnd(now);
      } else {
        to_[1 - side].Send({buffer.data(), static_cast<size_t>(count)}, now);
      }
    }
    return true;
  }

  std::array<Socket, 2> sides_;
  std::array<Direction, 2> to_;  // that side
  std::array<bool, 2> read_to_end_ = {};
  bool connected_ = false;  // to the server
};

class Relay {
 public:
  Relay(const Address& listen_at, const Address& target, const Link& link, uint64_t seed)
      : listener_(Listen(listen_at)), target_(target), link_(link), seed_(seed) {
    if (epoll_.fd() < 0 || timer_.fd() < 0) throw std::runtime_error("epoll and timers are not to be had");
    Watch(EPOLL_CTL_ADD, listener_.fd(), EPOLLIN, nullptr);
    Watch(EPOLL_CTL_ADD, timer_.fd(), EPOLLIN, nullptr);
  }

  [[noreturn]] void Run() {
    std::array<epoll_event, 64> events;
    while (true) {
      const int count = epoll_wait(epoll_.fd(), events.data(), events.size(), -1);
      const int64_t now = Now();
      for (int i = 0; i < count; ++i) Handle(events[static_cast<size_t>(i)], now);
      DeliverAll(Now());
      SetTimer();
    }
  }

 private:
  // What epoll gives back: a connection's side. The listener and the timer have none.
  struct Entry;
  struct End {
    Entry* entry;
    size_t side;
  };
  struct Entry {
    explicit Entry(Connection of) : connection(std::move(of)) {}
    Connection connection;
    std::array<End, 2> ends = {End{this, 0}, End{this, 1}};
    bool over = false;
  };

  void Watch(int operation, int fd, uint32_t wanted, End* end) {
    epoll_event event{};
    event.events = wanted;
    event.data.ptr = end;
    if (epoll_ctl(epoll_.fd(), operation, fd, &event) != 0) throw std::runtime_error(std::strerror(errno));
  }

  void Handle(const epoll_event& event, int64_t now) {
    const End* end = static_cast<const End*>(event.data.ptr);
    if (end == nullptr) {
      uint64_t expirations = 0;
      (void)!read(timer_.fd(), &expirations, sizeof(expirations));
      Accept();
      return;
    }
    Entry& entry = *end->entry;  // those that are over stay until all events were looked at
    if (!entry.over) entry.over = !entry.connection.Handle(end->side, event.events, now);
  }

  void Accept() {
    while (true) {
      Socket client(accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (client.fd() < 0) return;
      std::optional<Socket> server = StartConnecting(target_);
      if (!server.has_value()) continue;  // the client sees its connection end
      SendAtOnce(client.fd());
      SendAtOnce(server->fd());
      auto entry = std::make_unique<Entry>(Connection(std::move(client), std::move(*server), link_, seed_++));
      Connection& connection = entry->connection;
      for (const size_t side : {0, 1}) {
        connection.watched[side] = connection.Wanted(side);
        Watch(EPOLL_CTL_ADD, connection.socket(side), connection.watched[side], &entry->ends[side]);
      }
      entries_.push_back(std::move(entry));
    }
  }

  void DeliverAll(int64_t now) {
    for (const std::unique_ptr<Entry>& entry : entries_) {
      if (!entry->over) entry->over = !entry->connection.Deliver(now);
    }
    entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                  [](const std::unique_ptr<Entry>& entry) { return entry->over; }),
                   entries_.end());
    for (const std::unique_ptr<Entry>& entry : entries_) {
      for (const size_t side : {0, 1}) {
        Connection& connection = entry->connection;
        const uint32_t wanted = connection.Wanted(side);
        if (wanted == connection.watched[side]) continue;
        connection.watched[side] = wanted;
        Watch(EPOLL_CTL_MOD, connection.socket(side), wanted, &entry->ends[side]);
      }
    }
  }

  void SetTimer() {
    int64_t next = kNever;
    for (const std::unique_ptr<Entry>& entry : entries_) next = std::min(next, entry->connection.next_arrival());
    itimerspec time{};
    if (next != kNever) {
      time.it_value.tv_sec = next / kNanosecondsPerSecond;
      time.it_value.tv_nsec = std::max<int64_t>(next % kNanosecondsPerSecond, 1);  // all zero would switch it off
    }
    timerfd_settime(timer_.fd(), TFD_TIMER_ABSTIME, &time, nullptr);
  }

  Socket epoll_{epoll_create1(EPOLL_CLOEXEC)};
  Socket timer_{timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
  Socket listener_;
  Address target_;
  Link link_;
  uint64_t seed_;
  std::vector<std::unique_ptr<Entry>> entries_;
};

double Number(const std::string& text, const std::string& name, double most) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0.0 && value <= most)) {
    throw std::runtime_error(fmt::format("{} {}: a number from 0 to {}", name, text, most));
  }
  return value;
}

[[noreturn]] void Main(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2 || arguments.size() % 2 != 0) {
    throw std::runtime_error("LISTEN TARGET [--delay-us N] [--loss P] [--timeout-ms N] [--mbit N] [--seed N]");
  }
  Link link;
  uint64_t seed = 1;
  for (size_t i = 2; i < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    const std::string& text = arguments[i + 1];
    if (name == "--delay-us") {
      link.delay = static_cast<int64_t>(1e3 * Number(text, name, 1e7));
    } else if (name == "--loss") {
      link.loss = Number(text, name, 1.0);
    } else if (name == "--timeout-ms") {
      link.timeout = static_cast<int64_t>(1e6 * Number(text, name, 1e5));
    } else if (name == "--mbit") {
      link.nanoseconds_per_byte = 8e3 / std::max(Number(text, name, 1e6), 1e-3);
    } else if (name == "--seed") {
      seed = static_cast<uint64_t>(Number(text, name, 1e15));
    } else {
      throw std::runtime_error(fmt::format("{}: no such option", name));
    }
  }
  Relay relay(ParseAddress(arguments[0]), ParseAddress(arguments[1]), link, seed);
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  fmt::print("ready\n");
  std::fflush(stdout);
  relay.Run();
}

}  // namespace
}  // namespace assay

int main(int count, char** arguments) {
  try {
    assay::Main({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    fmt::print(stderr, "delay_relay: {}\n", error.what());
    return 2;
  }
}
