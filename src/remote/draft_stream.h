#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "remote/draft.grpc.pb.h"
#include "remote/wire.h"

namespace assay {

class DraftStream;

// What a stream does with what comes in. Called in gRPC's threads, for one stream by one at a time.
class DraftStreamHandler {
 public:
  virtual ~DraftStreamHandler() = default;
  virtual void OnHello(const std::shared_ptr<DraftStream>& stream, DraftHello hello) = 0;
  virtual void OnBurst(const std::shared_ptr<DraftStream>& stream, BurstRequest request) = 0;
  // The stream is over, for whatever reason: the last call for it.
  virtual void OnGone(const std::shared_ptr<DraftStream>& stream) = 0;
};

// One client's stream: reads a message at a time, when it is told to, and writes those to be sent one after the other.
class DraftStream : public grpc::ServerBidiReactor<wire::FromClient, wire::FromServer>,
                    public std::enable_shared_from_this<DraftStream> {
 public:
  using Clock = std::chrono::steady_clock;

  // `handler` and `context` outlive the stream's OnDone().
  static std::shared_ptr<DraftStream> Make(DraftStreamHandler& handler, grpc::CallbackServerContext& context);

  // From any thread; nothing happens once the stream has ended.
  void Listen();  // for the next message
  void Send(wire::FromServer message);
  void End(const grpc::Status& status);
  // Ends it by force when it does not end by itself, because its client does not read.
  void EndNow(const grpc::Status& status);

  // When the last message came.
  Clock::time_point heard() const;
  // Whether it waits for a message, rather than the client for an answer.
  bool listening() const;
  bool greeted() const;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  DraftStream(DraftStreamHandler& handler, grpc::CallbackServerContext& context)
      : handler_(handler), context_(context) {}
  void Handle();
  void WriteNext();  // with the lock held

  DraftStreamHandler& handler_;
  grpc::CallbackServerContext& context_;
  std::shared_ptr<DraftStream> self_;  // until OnDone()
  wire::FromClient incoming_;

  mutable std::mutex mutex_;
  std::deque<wire::FromServer> outgoing_;  // the first one is being written
  bool greeted_ = false;
  bool listening_ = false;
  bool ending_ = false;
  bool finished_ = false;
  grpc::Status status_;
  Clock::time_point heard_ = Clock::now();
};

}  // namespace assay
