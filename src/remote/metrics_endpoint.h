#pragma once

#include <functional>
#include <string>
#include <thread>

namespace assay {

// Answers every HTTP request on a port of the loopback interface with a text, as Prometheus reads it.
class MetricsEndpoint {
 public:
  // port 0: any that is free. `text` is called in a thread of its own. Throws kIo when the port cannot be had.
  MetricsEndpoint(int port, std::function<std::string()> text);
  ~MetricsEndpoint();
  MetricsEndpoint(const MetricsEndpoint&) = delete;
  MetricsEndpoint& operator=(const MetricsEndpoint&) = delete;

  int port() const { return port_; }

 private:
  void Serve();
  void Answer(int client);

  std::function<std::string()> text_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};  // a pipe: its end ends the thread
  int port_ = 0;
  std::thread thread_;
};

}  // namespace assay
