// Server and client on the loopback interface: the tokens of the target alone, whatever happens in between.

#include "remote/draft_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/whereabouts.h"
#include "decode/speculate.h"
#include "engine/loaded_model.h"
#include "remote/draft_connection.h"
#include "remote/remote_drafter.h"
#include "text/same_tokenizer.h"

namespace assay {
namespace {

using testing::HasSubstr;

const std::filesystem::path kModels = std::filesystem::path(ASSAY_SOURCE_DIR) / "models";
constexpr int kContext = 512;

// The draft model's engine is the server's; the target has a backend of its own, as on another machine.
class DraftServerTest : public testing::Test {
 protected:
  DraftServerOptions ServerOptions() const {
    DraftServerOptions options;
    options.listen = "127.0.0.1:0";
    options.context = kContext;
    options.device = "a test's device";
    options.model_digest = "digest";
    options.tokenizer_digest = DraftVocabularyDigest(*draft_.model->tokenizer);
    options.sessions = 16;  // one that is gone may hold its place for a moment
    return options;
  }
  void Start(const DraftServerOptions& options) { server_ = std::make_unique<DraftServer>(draft_.engine, options); }
  void Start() { Start(ServerOptions()); }

  std::string Url() const { return "grpc://127.0.0.1:" + std::to_string(server_->port()); }
  RemoteDrafterOptions ClientOptions() const {
    RemoteDrafterOptions options;
    options.url = Url();
    options.tokenizer_digest = DraftVocabularyDigest(*target_.model->tokenizer);
    options.vocab = target_.model->spec.vocab;
    options.max_draft = 8;
    // However busy the machine is.
    options.connect_seconds = 60.0;
    options.answer_seconds = 60.0;
    return options;
  }
  DraftConnectionOptions ConnectionOptions() const {
    return {.address = ParseDraftUrl(Url()),
            .hello = {.protocol = kDraftProtocol,
                      .tokenizer_digest = DraftVocabularyDigest(*target_.model->tokenizer),
                      .max_draft = 4,
                      .ahead = true}};
  }
  // A value of the server's metrics.
  int64_t Metric(const std::string& name) const {
    const std::string text = server_->Metrics();
    const std::string line = "\nassay_draft_" + name + " ";
    const size_t at = text.find(line);
    return at == std::string::npos ? -1 : std::stoll(text.substr(at + line.size()));
  }
  // Until it holds, or a minute has passed.
  template <typename Condition>
  static void WaitUntil(const Condition& condition) {
    for (int i = 0; i < 6000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
  }
  // Polls until the connection has a welcome or its end.
  static void Meet(DraftConnection& connection) {
    const auto deadline = DraftConnection::Clock::now() + std::chrono::seconds(60);
    while (!connection.welcome() && !connection.ended() && connection.Poll(deadline)) {
    }
  }
  static void WaitForEnd(DraftConnection& connection) {
    const auto deadline = DraftConnection::Clock::now() + std::chrono::seconds(60);
    while (!connection.ended() && connection.Poll(deadline)) {
    }
    EXPECT_TRUE(connection.ended());
  }
  // What MakeRemoteDrafter() says, and of which kind.
  static std::string Refusal(const RemoteDrafterOptions& options, ErrorKind kind) {
    try {
      MakeRemoteDrafter(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
      return error.what();
    }
    return "none";
  }

  std::vector<Token> Prompt(size_t offset) const {
    return target_.model->tokenizer->Encode(ReadFile(kModels / "eval_prose.txt").substr(offset, 300), false);
  }
  std::vector<Token> Plain(std::span<const Token> prompt, const GenerateOptions& options) {
    Session session(target_.engine, {.context = kContext});
    return Generate(session, prompt, options, *target_.model->tokenizer, {}).tokens;
  }
  std::vector<Token> Speculative(Drafter& drafter, std::span<const Token> prompt, const GenerateOptions& options,
                                 const SpeculationOptions& speculation, const OnToken& on_token = {}) {
    rounds_.clear();
    Session session(target_.engine, {.context = kContext, .rollback = RollbackFor(speculation)});
    return GenerateSpeculatively(session, drafter, prompt, options, speculation, *target_.model->tokenizer, on_token,
                                 rounds_)
        .tokens;
  }
  int Accepted() const {
    int accepted = 0;
    for (const SpeculationRound& round : rounds_) accepted += round.accepted;
    return accepted;
  }
  int FailedRounds() const {
    return static_cast<int>(std::count_if(rounds_.begin(), rounds_.end(),
                                          [](const SpeculationRound& round) { return round.evidence.failed; }));
  }

  void ServeEight(std::chrono::seconds duration);

  std::unique_ptr<Backend> backend_ = MakeBackend("", 1);
  std::unique_ptr<Backend> server_backend_ = MakeBackend("", 1);
  LoadedModel target_{kModels / "tiny-qwen35.gguf", *backend_};
  LoadedModel draft_{kModels / "tiny-qwen35-draft.gguf", *server_backend_};
  LoadedModel at_home_{kModels / "tiny-qwen35-draft.gguf", *backend_};  // the same, for who drafts without a server
  std::unique_ptr<DraftServer> server_;
  std::vector<SpeculationRound> rounds_;
};

const GenerateOptions kGreedy{.max_tokens = 60, .ignore_end = true};
const SpeculationOptions kFour{.draft_length = 4};

TEST_F(DraftServerTest, GivesTheTokensAndRoundsOfALocalDraft) {
  Start();
  for (const bool ahead : {false, true}) {
    RemoteDrafterOptions options = ClientOptions();
    options.ahead = ahead;
    const auto remote = MakeRemoteDrafter(options);
    EXPECT_EQ(remote->server().model_digest, "digest");
    EXPECT_EQ(remote->server().context, kContext);
    EXPECT_EQ(remote->server().ahead, ahead);
    for (const size_t offset : {2000U, 9000U, 9000U}) {
      const std::vector<Token> prompt = Prompt(offset);
      const std::vector<Token> expected = Plain(prompt, kGreedy);
      EXPECT_EQ(Speculative(*remote, prompt, kGreedy, kFour), expected);
      EXPECT_EQ(remote->failure(), std::nullopt);
      const std::vector<SpeculationRound> rounds = rounds_;
      const auto local = MakeModelDrafter(at_home_.engine, {.context = kContext});
      EXPECT_EQ(Speculative(*local, prompt, kGreedy, kFour), expected);
      ASSERT_EQ(rounds.size(), rounds_.size());
      int64_t received = 0;
      for (size_t i = 0; i < rounds.size(); ++i) {
        EXPECT_EQ(rounds[i].drafted, rounds_[i].drafted);
        EXPECT_EQ(rounds[i].accepted, rounds_[i].accepted);
        const DraftEvidence& evidence = rounds[i].evidence;
        if (rounds[i].drafted == 0) continue;
        EXPECT_EQ(evidence.logit_hash, rounds_[i].evidence.logit_hash);
        ASSERT_NE(evidence.who, nullptr);
        EXPECT_EQ(evidence.who->device, "a test's device");
        EXPECT_EQ(evidence.who->model_digest, "digest");
        EXPECT_EQ(evidence.who->machine, MachineId());
        EXPECT_EQ(evidence.who->address, Url());
        EXPECT_GT(evidence.compute_seconds, 0.0);
        EXPECT_GT(evidence.sent_bytes, 0);
        EXPECT_GT(evidence.received_bytes, 0);
        received += evidence.received_bytes;
      }
      EXPECT_GT(received, 0);
      EXPECT_LT(received, 500 * static_cast<int64_t>(rounds.size()));
    }
  }
}

TEST_F(DraftServerTest, AnAdaptiveLengthAndSamplingWorkAsWell) {
  Start();
  const auto remote = MakeRemoteDrafter(ClientOptions());
  const std::vector<Token> prompt = Prompt(4000);
  EXPECT_EQ(Speculative(*remote, prompt, kGreedy, {.draft_length = 8, .adaptive = true}), Plain(prompt, kGreedy));
  const GenerateOptions sampled{
      .max_tokens = 40, .sampling = {.temperature = 0.8F, .top_p = 0.95F}, .seed = 3, .ignore_end = true};
  const std::vector<Token> first = Speculative(*remote, prompt, sampled, kFour);
  EXPECT_GT(Accepted(), 0);
  // The same seed gives the same text, whatever was ready when.
  EXPECT_EQ(Speculative(*remote, prompt, sampled, kFour), first);
  RemoteDrafterOptions options = ClientOptions();
  options.ahead = false;
  EXPECT_EQ(Speculative(*MakeRemoteDrafter(options), prompt, sampled, kFour), first);
}

TEST_F(DraftServerTest, WhatIsDraftedAheadIsThereBeforeItIsAskedFor) {
  Start();
  const auto remote = MakeRemoteDrafter(ClientOptions());
  const auto local = MakeModelDrafter(at_home_.engine, {.context = kContext});
  std::vector<Token> text = Prompt(4000);
  Rng rng(1);
  remote->Prepare(text);
  local->Prepare(text);
  // What was pushed is on its way: now and then it may come too late.
  int ready = 0;
  for (int round = 0; round < 40 && ready < 3; ++round) {
    const int64_t pushed = Metric("pushed_total");
    const Draft draft = DraftNow(*remote, text, 4, {}, rng);
    if (draft.evidence.in_time && draft.evidence.wire_seconds == 0.0) ++ready;
    WaitUntil([&] { return Metric("pushed_total") > pushed; });
    // All is taken, and the target goes on as the model would.
    const Draft five = DraftNow(*local, text, 5, {}, rng);
    EXPECT_EQ(std::vector<Token>(five.tokens.begin(), five.tokens.end() - 1), draft.tokens);
    text.insert(text.end(), five.tokens.begin(), five.tokens.end());
    DraftConnection other(ConnectionOptions());  // takes about as long as the push needs
    Meet(other);
  }
  EXPECT_EQ(ready, 3);
  WaitUntil([&] { return Metric("taken_total") >= 3; });
}

TEST_F(DraftServerTest, RefusesClientsWithOneLine) {
  DraftServerOptions options = ServerOptions();
  options.token = "secret";
  Start(options);
  RemoteDrafterOptions client = ClientOptions();
  EXPECT_THAT(Refusal(client, ErrorKind::kUsage), HasSubstr("token is missing or wrong"));
  client.token = "secreT";
  EXPECT_THAT(Refusal(client, ErrorKind::kUsage), HasSubstr("token is missing or wrong"));
  client.token = "secret";
  client.tokenizer_digest = "other";
  EXPECT_THAT(Refusal(client, ErrorKind::kUsage), HasSubstr("another tokenizer"));
  client.tokenizer_digest = options.tokenizer_digest;
  client.model_digest = "other";
  EXPECT_THAT(Refusal(client, ErrorKind::kUsage), HasSubstr("its model is"));
  client.model_digest.clear();
  client.max_draft = 1000;
  EXPECT_THAT(Refusal(client, ErrorKind::kUsage), HasSubstr("a draft of 1000 tokens"));
  client.max_draft = 4;
  options.sessions = 1;
  server_.reset();
  Start(options);
  client.url = Url();
  const auto served = MakeRemoteDrafter(client);
  EXPECT_THAT(Refusal(client, ErrorKind::kIo), HasSubstr("all of its 1 sessions are in use"));
}

TEST_F(DraftServerTest, AServerThatIsNotThereIsOneLine) {
  Start();
  RemoteDrafterOptions client = ClientOptions();
  server_.reset();
  EXPECT_THAT(Refusal(client, ErrorKind::kIo), HasSubstr("cannot be reached (Connection refused); see that"));
  client.url = "grpc://192.0.2.1:1";
  EXPECT_THAT(Refusal(client, ErrorKind::kUsage), HasSubstr("in the clear"));
  for (const char* url : {"grpc://", "grpc://localhost", "http://localhost:1", "grpc://localhost:0",
                          "grpc://localhost:1x", "grpc://localhost:65536", "grpc://a/b:1", "grpc://::1:5"}) {
    client.url = url;
    EXPECT_THAT(Refusal(client, ErrorKind::kUsage), HasSubstr("not the address")) << url;
  }
}

TEST_F(DraftServerTest, ListensBeyondThisMachineOnlyWithTlsAndAToken) {
  DraftServerOptions options = ServerOptions();
  options.listen = "0.0.0.0:0";
  EXPECT_THROW(Start(options), Error);
  options.token = "secret";
  EXPECT_THROW(Start(options), Error);
  options = ServerOptions();
  options.listen = "nowhere";
  EXPECT_THROW(Start(options), Error);
  Start();
  options.listen = "127.0.0.1:" + std::to_string(server_->port());
  EXPECT_THROW(DraftServer(draft_.engine, options), Error);  // taken
}

TEST_F(DraftServerTest, AServerThatGoesAwayCostsOnlyGuesses) {
  Start();
  const RemoteDrafterOptions client = ClientOptions();
  const auto remote = MakeRemoteDrafter(client);
  const std::vector<Token> prompt = Prompt(4000);
  const std::vector<Token> expected = Plain(prompt, kGreedy);
  int told = 0;
  const OnToken stop_it = [&](Token) {
    if (++told == 20) server_.reset();
    return true;
  };
  EXPECT_EQ(Speculative(*remote, prompt, kGreedy, kFour, stop_it), expected);
  EXPECT_GT(FailedRounds(), 0);
  ASSERT_TRUE(remote->failure());
  EXPECT_THAT(*remote->failure(), HasSubstr(client.url));
}

TEST_F(DraftServerTest, GuessesNothingThatTheTargetDoesNotHave) {
  Start();
  RemoteDrafterOptions client = ClientOptions();
  client.vocab = 2;
  const auto remote = MakeRemoteDrafter(client);
  const std::vector<Token> prompt = Prompt(4000);
  EXPECT_EQ(Speculative(*remote, prompt, kGreedy, kFour), Plain(prompt, kGreedy));
  EXPECT_EQ(Accepted(), 0);
  EXPECT_EQ(remote->failure(), std::nullopt);
}

TEST_F(DraftServerTest, AServerThatComesBackIsUsedAgain) {
  Start();
  const auto remote = MakeRemoteDrafter(ClientOptions());
  const std::vector<Token> prompt = Prompt(4000);
  const GenerateOptions options{.max_tokens = 200, .ignore_end = true};
  const std::vector<Token> expected = Plain(prompt, options);
  DraftServerOptions again = ServerOptions();
  again.listen = "127.0.0.1:" + std::to_string(server_->port());
  int told = 0;
  const OnToken restart = [&](Token) {
    if (++told == 20) {
      server_.reset();
      Start(again);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return true;
  };
  EXPECT_EQ(Speculative(*remote, prompt, options, kFour, restart), expected);
  EXPECT_GT(FailedRounds(), 0);
  WaitUntil([&] {
    EXPECT_EQ(Speculative(*remote, prompt, options, kFour), expected);
    return FailedRounds() == 0;
  });
}

TEST_F(DraftServerTest, ASessionThatSaysNothingIsFreed) {
  DraftServerOptions options = ServerOptions();
  options.idle_seconds = 0.3;
  options.sessions = 1;
  Start(options);
  DraftConnection silent(ConnectionOptions());
  Meet(silent);
  ASSERT_TRUE(silent.welcome());
  WaitForEnd(silent);
  EXPECT_THAT(silent.status().error_message(), HasSubstr("the session was freed"));
  WaitUntil([&] { return Metric("sessions") == 0; });
}

TEST_F(DraftServerTest, AClientThatGoesAwayLeavesItsPlace) {
  DraftServerOptions options = ServerOptions();
  options.sessions = 1;
  Start(options);
  for (int i = 0; i < 3; ++i) {
    auto client = std::make_unique<DraftConnection>(ConnectionOptions());
    Meet(*client);
    ASSERT_TRUE(client->welcome()) << client->status().error_message();
    client->Send({.id = 1, .tokens = Prompt(4000), .count = 4});
    client->PollAll();
    client.reset();  // in the middle of a burst
    WaitUntil([&] { return Metric("sessions") == 0; });
  }
}

TEST_F(DraftServerTest, TwoHundredClientsAtOnceAreServedOrRefused) {
  DraftServerOptions options = ServerOptions();
  options.sessions = 4;
  Start(options);
  std::vector<std::unique_ptr<DraftConnection>> clients;
  clients.reserve(200);
  for (int i = 0; i < 200; ++i) clients.push_back(std::make_unique<DraftConnection>(ConnectionOptions()));
  int served = 0;
  for (const auto& client : clients) {
    Meet(*client);
    if (client->welcome()) {
      ++served;
      continue;
    }
    EXPECT_THAT(client->status().error_message(), HasSubstr("in use"));
  }
  EXPECT_EQ(served, 4);
  clients.clear();
  WaitUntil([&] { return Metric("sessions") == 0; });
}

TEST_F(DraftServerTest, MessagesThatMakeNoSenseEndTheirSessionAlone) {
  Start();
  const auto remote = MakeRemoteDrafter(ClientOptions());
  const auto answer_to = [&](const BurstRequest& request) {
    DraftConnection client(ConnectionOptions());
    Meet(client);
    EXPECT_TRUE(client.welcome());
    client.Send(request);
    WaitForEnd(client);
    return client.status();
  };
  EXPECT_EQ(answer_to({.id = 1, .tokens = {1}, .count = 99}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(answer_to({.id = 1, .tokens = {1 << 30}, .count = 1}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const grpc::Status large = answer_to({.id = 1, .tokens = std::vector<Token>(1 << 20, 300), .count = 1});
  EXPECT_EQ(large.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << large.error_message();
  DraftConnectionOptions twice = ConnectionOptions();
  twice.hello.protocol = 99;
  DraftConnection newer(twice);
  WaitForEnd(newer);
  EXPECT_EQ(newer.status().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(newer.status().error_message(), HasSubstr("version 1 of the protocol, the client 99"));
  const std::vector<Token> prompt = Prompt(4000);
  EXPECT_EQ(Speculative(*remote, prompt, kGreedy, kFour), Plain(prompt, kGreedy));
  EXPECT_EQ(remote->failure(), std::nullopt);
}

// A plain TCP connection to a port of this machine.
class Socket {
 public:
  explicit Socket(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void Write(std::string_view bytes) const { send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  std::string ReadAll() const {
    std::string all;
    char bytes[1024];
    for (ssize_t n = recv(fd_, bytes, sizeof(bytes), 0); n > 0; n = recv(fd_, bytes, sizeof(bytes), 0)) {
      all.append(bytes, static_cast<size_t>(n));
    }
    return all;
  }

 private:
  int fd_;
};

TEST_F(DraftServerTest, GarbageOnThePortHarmsNobody) {
  Start();
  const auto remote = MakeRemoteDrafter(ClientOptions());
  Rng rng(1);
  for (int i = 0; i < 20; ++i) {
    Socket socket(server_->port());
    // Some begin as HTTP/2 does.
    std::string bytes = i % 2 == 0 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
    for (int j = 0; j < 1000; ++j) bytes += static_cast<char>(rng.Below(256));
    socket.Write(bytes);
    if (i % 4 < 2) socket.ReadAll();  // until the server hangs up
  }
  const std::vector<Token> prompt = Prompt(4000);
  EXPECT_EQ(Speculative(*remote, prompt, kGreedy, kFour), Plain(prompt, kGreedy));
  EXPECT_EQ(remote->failure(), std::nullopt);
}

// What the standard service for that answers of this one: SERVING.
TEST_F(DraftServerTest, SaysThatItIsHealthy) {
  Start();
  grpc::GenericStub stub(grpc::CreateChannel(Url().substr(7), grpc::InsecureChannelCredentials()));
  const std::string name = wire::Draft::service_full_name();
  const grpc::Slice question("\x0A" + std::string(1, static_cast<char>(name.size())) + name);
  const grpc::ByteBuffer request(&question, 1);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  ASSERT_TRUE(status.ok()) << status.error_message();
  grpc::Slice bytes;
  ASSERT_TRUE(response.DumpToSingleSlice(&bytes).ok());
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "\x08\x01");
}

TEST_F(DraftServerTest, WhoTakesTheConnectionAndSaysNothingIsNoServer) {
  Start();
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  RemoteDrafterOptions client = ClientOptions();
  client.url = "grpc://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  client.connect_seconds = 0.2;
  EXPECT_THAT(Refusal(client, ErrorKind::kIo), HasSubstr("did not answer within 0.2 s"));
  close(listener);
}

TEST_F(DraftServerTest, TellsPrometheusWhatItDid) {
  DraftServerOptions options = ServerOptions();
  options.metrics_port = 0;
  Start(options);
  const auto remote = MakeRemoteDrafter(ClientOptions());
  Speculative(*remote, Prompt(4000), kGreedy, kFour);
  Socket socket(server_->metrics_port());
  socket.Write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string answer = socket.ReadAll();
  EXPECT_THAT(answer, HasSubstr("HTTP/1.0 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\nassay_draft_sessions 1\n"));
  EXPECT_GT(Metric("bursts_total"), 0);
  EXPECT_GT(Metric("guesses_total"), 0);
}

// Eight clients at once, some of them impatient: each gets the guesses of the model for its own text.
void DraftServerTest::ServeEight(std::chrono::seconds duration) {
  DraftServerOptions options = ServerOptions();
  options.sessions = 8;
  Start(options);
  std::vector<Token> expected;
  const std::vector<Token> prompt = Prompt(4000);
  {
    const auto local = MakeModelDrafter(at_home_.engine, {.context = kContext});
    Rng rng(1);
    local->Prepare(prompt);
    expected = DraftNow(*local, prompt, 32, {}, rng).tokens;
  }
  const auto end = std::chrono::steady_clock::now() + duration;
  std::atomic<int> bursts = 0;
  const auto client = [&](uint64_t seed) {
    Rng rng(seed);
    while (std::chrono::steady_clock::now() < end) {
      RemoteDrafterOptions client_options = ClientOptions();
      client_options.ahead = rng.Below(2) == 0;
      client_options.answer_seconds = 60.0;
      std::unique_ptr<RemoteDrafter> remote;
      try {
        remote = MakeRemoteDrafter(client_options);
      } catch (const Error& error) {
        // The place that this client had is free when its session is.
        EXPECT_THAT(error.what(), HasSubstr("in use"));
        continue;
      }
      std::vector<Token> text = prompt;
      remote->Prepare(text);
      while (text.size() + 8 < prompt.size() + expected.size()) {
        const int count = 1 + static_cast<int>(rng.Below(6));
        remote->Begin(text, count, {}, rng);
        if (rng.Below(20) == 0) break;  // gone in the middle of a burst
        const std::vector<Token> guesses = remote->Take().tokens;
        const auto at = static_cast<ptrdiff_t>(text.size() - prompt.size());
        ASSERT_EQ(guesses, std::vector<Token>(expected.begin() + at, expected.begin() + at + count));
        ++bursts;
        const auto taken = static_cast<ptrdiff_t>(rng.Below(guesses.size() + 1));
        text.insert(text.end(), expected.begin() + at, expected.begin() + at + taken + 1);
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 8; ++i) threads.emplace_back(client, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(bursts, 8);
  WaitUntil([&] { return Metric("sessions") == 0; });
}

TEST_F(DraftServerTest, ServesEightClientsInTurn) { ServeEight(std::chrono::seconds(1)); }

TEST_F(DraftServerTest, DISABLED_ServesEightClientsForTenMinutes) { ServeEight(std::chrono::minutes(10)); }

class TlsTest : public DraftServerTest {
 protected:
  static std::string Pem(const std::string& name) {
    return ReadFile(std::filesystem::path(ASSAY_SOURCE_DIR) / "tests/data/remote" / name);
  }
  void StartWith(const std::string& certificate) {
    DraftServerOptions options = ServerOptions();
    options.listen = "0.0.0.0:0";
    options.token = "secret";
    options.tls_cert = Pem(certificate + ".pem");
    options.tls_key = Pem(certificate + ".key");
    Start(options);
  }
  RemoteDrafterOptions TlsClient(const std::string& ca = "ca.pem") const {
    RemoteDrafterOptions options = ClientOptions();
    options.url = "grpcs://localhost:" + std::to_string(server_->port());
    options.token = "secret";
    options.tls_ca = Pem(ca);
    return options;
  }
};

TEST_F(TlsTest, ServesOverTls) {
  StartWith("server");
  const std::vector<Token> prompt = Prompt(4000);
  const auto remote = MakeRemoteDrafter(TlsClient());
  EXPECT_EQ(Speculative(*remote, prompt, kGreedy, kFour), Plain(prompt, kGreedy));
  EXPECT_GT(Accepted(), 0);
}

TEST_F(TlsTest, ACertificateThatDoesNotMatchIsOneLine) {
  StartWith("server");
  EXPECT_THAT(Refusal(TlsClient("other_ca.pem"), ErrorKind::kIo), HasSubstr("certificate does not match"));
  RemoteDrafterOptions wrong = TlsClient();
  wrong.token = "wrong";
  EXPECT_THAT(Refusal(wrong, ErrorKind::kUsage), HasSubstr("token is missing or wrong"));
  EXPECT_THAT(Refusal(ClientOptions(), ErrorKind::kIo), HasSubstr(Url()));  // without TLS
  StartWith("elsewhere");
  EXPECT_THAT(Refusal(TlsClient(), ErrorKind::kIo), HasSubstr("certificate does not match"));
  StartWith("server");
  server_.reset();
  Start();
  RemoteDrafterOptions tls = ClientOptions();
  tls.url = "grpcs://localhost:" + std::to_string(server_->port());  // the server has none
  EXPECT_THAT(Refusal(tls, ErrorKind::kIo), HasSubstr(tls.url));
}

}  // namespace
}  // namespace assay
