#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "remote/address.h"
#include "remote/draft.grpc.pb.h"
#include "remote/wire.h"

namespace assay {

struct DraftConnectionOptions {
  DraftAddress address;
  std::string token = {};   // empty: none
  std::string tls_ca = {};  // PEM; empty: the system's
  DraftHello hello;
};

// One stream to a draft server, from connecting to its end; driven by its owner's calls alone, without threads of its
// own. It never throws for what the network or the server does.
class DraftConnection {
 public:
  using Clock = std::chrono::system_clock;  // what gRPC's deadlines are in

  explicit DraftConnection(const DraftConnectionOptions& options);
  ~DraftConnection();
  DraftConnection(const DraftConnection&) = delete;
  DraftConnection& operator=(const DraftConnection&) = delete;

  // Goes on with what the network has to do; waits until something happened, at most until `deadline`. Returns whether
  // something did.
  bool Poll(Clock::time_point deadline);
  void PollAll();  // all that can be done without waiting

  // Once there is a welcome, requests may be sent.
  const std::optional<DraftWelcome>& welcome() const { return welcome_; }
  void Send(const BurstRequest& request);
  // The next answer that came, if there is one.
  std::optional<BurstAnswer> TakeAnswer();

  // Why it ended; OK while it lives.
  bool ended() const { return ended_; }
  const grpc::Status& status() const { return status_; }

  // Bytes of messages since it was made, with gRPC's five for each, as BurstAnswer::bytes has them.
  int64_t sent_bytes() const { return sent_bytes_; }

 private:
  enum Event { kStarted, kRead, kWrote, kFinished };

  void Handle(Event event, bool ok);
  void Receive();
  void EndWith(const grpc::Status& status);
  void AskWhy();  // for the stream's status, once

  // The first: it sets gRPC up.
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<wire::Draft::Stub> stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<wire::FromClient, wire::FromServer>> stream_;
  // What marks each event in the queue: its address.
  Event tags_[4] = {kStarted, kRead, kWrote, kFinished};
  wire::FromServer incoming_;
  std::deque<wire::FromClient> outgoing_;  // the first one is being written
  std::deque<BurstAnswer> answers_;
  std::optional<DraftWelcome> welcome_;
  bool asked_why_ = false;
  bool ended_ = false;
  grpc::Status status_;
  int64_t sent_bytes_ = 0;
};

}  // namespace assay
