#pragma once

#include <memory>
#include <string>

#include "engine/session.h"

namespace assay {

struct DraftServerOptions {
  std::string listen = "127.0.0.1:50061";  // port 0: any that is free
  int sessions = 4;                        // at a time
  double idle_seconds = 300.0;             // a session without a request for so long is freed
  int context = 0;                         // of a session at most, as SessionOptions::context
  CacheType cache = CacheType::kF16;
  bool ahead = true;              // drafts before it is asked, for clients that want it
  std::string token;              // that clients must know; empty: none
  std::string tls_cert, tls_key;  // PEM; empty: no TLS
  int metrics_port = -1;          // of Prometheus' text; 0: any, -1: none
  // What clients are told, and compare.
  std::string device, model_digest, tokenizer_digest;
};

// Serves a draft model to other machines (draft.proto, docs/remote.md). Sessions share the engine by bursts: a thread
// of its own computes for all. The engine must outlive it and may not be used beside it.
class DraftServer {
 public:
  // Listens when it returns. Throws kUsage for another interface than loopback without both TLS and a token, kIo for a
  // port that cannot be had or a certificate that cannot be used.
  DraftServer(Engine& engine, const DraftServerOptions& options);
  ~DraftServer();
  DraftServer(const DraftServer&) = delete;
  DraftServer& operator=(const DraftServer&) = delete;

  std::string address() const;  // "127.0.0.1:50061", with the port that it got
  int port() const;
  int metrics_port() const;     // -1: none
  std::string Metrics() const;  // Prometheus' text

  // Ends all sessions, each told so, and takes no new ones.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay
