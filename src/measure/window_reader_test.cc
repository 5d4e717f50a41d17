#include "measure/window_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "model/model_spec.h"
#include "text/testing/vocab.h"

namespace assay {
namespace {

// A token for each run of letters and digits, one for each run of white space, its id a hash of the run; with a merge
// across "\nz" when that is in the vocabulary.
class RunTokenizer : public Tokenizer {
 public:
  explicit RunTokenizer(VocabData vocab) : Tokenizer(std::move(vocab)) {}

  std::vector<Token> Encode(std::string_view text, bool /*parse_special*/) const override {
    ++calls;
    std::vector<Token> tokens;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = begin + 1;
      while (end < text.size() && IsSpace(text[end]) == IsSpace(text[begin])) ++end;
      uint32_t hash = 17;
      for (size_t i = begin; i < end; ++i) hash = hash * 31 + static_cast<unsigned char>(text[i]);
      tokens.push_back(static_cast<Token>(hash >> 1));
      begin = end;
    }
    return tokens;
  }
  std::string TokenBytes(Token token, bool /*special*/) const override {
    return vocab_.tokens[static_cast<size_t>(token)];
  }
  std::string Decode(std::span<const Token> /*tokens*/, bool /*special*/) const override { return {}; }

  mutable int calls = 0;

 private:
  static bool IsSpace(char c) { return c == ' ' || c == '\n'; }
};

VocabData SmallVocab() {
  VocabData vocab;
  vocab.model = "gpt2";
  vocab.tokens = {"a", "b", "\n", "<bos>"};
  vocab.bos = 3;
  return vocab;
}

std::string RandomText(size_t bytes) {
  constexpr std::string_view kAlphabet = "abcz019.  \n\n";
  Rng rng(11);
  std::string text;
  while (text.size() < bytes) text += kAlphabet[rng.Below(kAlphabet.size())];
  return text;
}

std::vector<Token> ReadAll(WindowReader& reader, size_t limit) {
  std::vector<Token> all;
  for (std::vector<Token> window; all.size() < limit && reader.Next(window);) {
    all.insert(all.end(), window.begin(), window.end());
  }
  return all;
}

TEST(WindowReaderTest, TokensOfThePiecesAreThoseOfTheWholeText) {
  const RunTokenizer tokenizer(SmallVocab());
  const std::string text = RandomText(400'000);
  std::vector<Token> whole = tokenizer.Encode(text, false);
  tokenizer.calls = 0;
  WindowReader reader(tokenizer, text, 100);
  const std::vector<Token> read = ReadAll(reader, whole.size());
  EXPECT_GT(tokenizer.calls, 4);
  EXPECT_EQ(reader.tokens_read(), static_cast<int64_t>(whole.size()));
  EXPECT_NEAR(reader.progress(), 1.0, 0.01);
  whole.resize(whole.size() / 100 * 100);
  EXPECT_EQ(read, whole);
}

TEST(WindowReaderTest, TokensOfThePiecesAreThoseOfTheWholeTextWithARealTokenizer) {
  const std::string models = std::string(ASSAY_SOURCE_DIR) + "/models/";
  const std::unique_ptr<Tokenizer> tokenizer = BuildTokenizer(GgufFile::Open(models + "tiny-qwen35-draft.gguf"));
  for (const std::string name : {"eval_prose.txt", "eval_code.txt"}) {
    const std::string text = ReadFile(models + name);
    const std::vector<Token> whole = tokenizer->Encode(text, false);
    WindowReader reader(*tokenizer, text, 64);
    const std::vector<Token> read = ReadAll(reader, whole.size());
    EXPECT_EQ(reader.tokens_read(), static_cast<int64_t>(whole.size())) << name;
    EXPECT_TRUE(std::equal(read.begin(), read.end(), whole.begin())) << name;
  }
}

TEST(WindowReaderTest, ReadsNoMoreThanTheWindowsNeed) {
  const RunTokenizer tokenizer(SmallVocab());
  const std::string text = RandomText(400'000);
  WindowReader reader(tokenizer, text, 100);
  ReadAll(reader, 200);
  EXPECT_EQ(tokenizer.calls, 1);
  EXPECT_LT(reader.progress(), 0.01);
}

TEST(WindowReaderTest, ATokenizerThatJoinsLinesGetsTheWholeText) {
  VocabData vocab = SmallVocab();
  vocab.tokens.emplace_back("\nz");
  const RunTokenizer joining(vocab);
  VocabData prefixed = SmallVocab();
  prefixed.model = "llama";
  const RunTokenizer sentence_piece(prefixed);
  const std::string text = RandomText(200'000);
  for (const RunTokenizer* tokenizer : {&joining, &sentence_piece}) {
    WindowReader reader(*tokenizer, text, 100);
    ReadAll(reader, 100);
    EXPECT_EQ(tokenizer->calls, 1);
    EXPECT_GT(reader.tokens_read(), 60'000);
  }
}

TEST(WindowReaderTest, BosBeginsTheTextAndReplacesTheFirstTokenOfEachWindow) {
  VocabData vocab = SmallVocab();
  vocab.add_bos = true;
  const RunTokenizer tokenizer(vocab);
  const std::string text = "a b c d e f g h";  // 15 tokens
  const std::vector<Token> plain = tokenizer.Encode(text, false);
  WindowReader reader(tokenizer, text, 8);
  std::vector<Token> window;
  ASSERT_TRUE(reader.Next(window));
  EXPECT_EQ(window.front(), 3);
  EXPECT_EQ(window[1], plain[0]);
  ASSERT_TRUE(reader.Next(window));
  EXPECT_EQ(window.front(), 3);
  EXPECT_EQ(window[1], plain[8]);
  EXPECT_FALSE(reader.Next(window));
}

TEST(WindowReaderTest, ATextShorterThanAWindowGivesNoneAndSaysHowManyTokens) {
  const RunTokenizer tokenizer(SmallVocab());
  WindowReader reader(tokenizer, "a b c", 8);
  std::vector<Token> window;
  EXPECT_FALSE(reader.Next(window));
  EXPECT_EQ(reader.tokens_read(), 5);
}

// A real tokenizer that remembers the longest text it was given.
class WatchedTokenizer : public Tokenizer {
 public:
  explicit WatchedTokenizer(const VocabData& vocab) : Tokenizer(vocab), real_(Make(vocab, "test")) {}

  std::vector<Token> Encode(std::string_view text, bool parse_special) const override {
    longest = std::max(longest, text.size());
    return real_->Encode(text, parse_special);
  }
  std::string TokenBytes(Token token, bool special) const override { return real_->TokenBytes(token, special); }
  std::string Decode(std::span<const Token> tokens, bool special) const override {
    return real_->Decode(tokens, special);
  }

  mutable size_t longest = 0;

 private:
  std::unique_ptr<Tokenizer> real_;
};

std::string Repeat(std::string_view part, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

// Texts without a line feed before a word.
std::vector<std::pair<std::string, std::string>> LongTexts() {
  constexpr size_t kBytes = 60'000;
  Rng rng(5);
  std::string words, letters;
  while (words.size() < kBytes) {
    words += std::string(rng.Below(9) + 1, static_cast<char>('a' + rng.Below(26)));
    words += rng.Below(8) == 0 ? ", " : " ";
  }
  while (letters.size() < kBytes) letters += static_cast<char>('a' + rng.Below(26));
  return {{"spaces", "x" + std::string(kBytes, ' ')},
          {"line feeds", "x" + std::string(kBytes, '\n')},
          {"blank lines", Repeat("  \n", kBytes)},
          {"one letter", " " + std::string(kBytes, 'a')},
          {"letters", letters},
          {"digits", Repeat("1234567", kBytes)},
          {"marks", Repeat("?!", kBytes)},
          {"words", words},
          {"Cyrillic",
           Repeat("\u0416\u0438\u043b\u0438-\u0431\u044b\u043b\u0438 \u0443 \u043c\u043e\u0440\u044f. ", kBytes)},
          {"Thai", Repeat("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", kBytes)},
          {"no UTF-8", Repeat("\xFF\xFE\x80 a", kBytes)}};
}

std::vector<std::pair<std::string, VocabData>> Vocabularies() {
  VocabData prefixed = TinySpmVocab();
  prefixed.add_space_prefix = true;
  VocabData plain = TinySpmVocab();
  plain.add_space_prefix = false;
  return {{"qwen35", TinyBpeVocab("qwen35")},
          {"llama-bpe", TinyBpeVocab("llama-bpe")},
          {"gpt-2", TinyBpeVocab("gpt-2")},
          {"SentencePiece", plain},
          {"SentencePiece with a space before the text", prefixed}};
}

TEST(WindowReaderTest, TextsWithoutACutAreReadInBoundedStretchesWithTheTokensOfTheWhole) {
  constexpr WindowReader::Sizes kSizes{.least = 512, .most = 8192, .overlap = 2048};
  for (const auto& [name, vocab] : Vocabularies()) {
    for (const auto& [kind, text] : LongTexts()) {
      SCOPED_TRACE(name + ", " + kind);
      WatchedTokenizer tokenizer(vocab);
      const std::vector<Token> whole = tokenizer.Encode(text, false);
      tokenizer.longest = 0;
      WindowReader reader(tokenizer, text, 8, kSizes);
      const std::vector<Token> read = ReadAll(reader, whole.size());
      EXPECT_LE(tokenizer.longest, kSizes.most);
      EXPECT_EQ(reader.joins(), 0);
      EXPECT_EQ(reader.tokens_read(), static_cast<int64_t>(whole.size()));
      EXPECT_TRUE(std::equal(read.begin(), read.end(), whole.begin()));
    }
  }
}

// An unknown token does not say how much of the text it stands for.
TEST(WindowReaderTest, WhatTokensDoNotSpellIsReadAtOnce) {
  VocabData vocab = TinySpmVocab();
  const std::string text = Repeat("a\u2581b", 40'000);  // U+2581 comes back as a space
  WatchedTokenizer tokenizer(vocab);
  const std::vector<Token> whole = tokenizer.Encode(text, false);
  WindowReader reader(tokenizer, text, 8, {.least = 512, .most = 8192, .overlap = 2048});
  const std::vector<Token> read = ReadAll(reader, whole.size());
  EXPECT_TRUE(std::equal(read.begin(), read.end(), whole.begin()));
  EXPECT_EQ(reader.tokens_read(), static_cast<int64_t>(whole.size()));
}

// Reads two letters as one token from wherever a text begins, so that readings that begin at odd places never meet.
class PairTokenizer : public Tokenizer {
 public:
  PairTokenizer() : Tokenizer(TwoTokens()) {}
  std::vector<Token> Encode(std::string_view text, bool /*parse_special*/) const override {
    // All but the first text begins with a single letter.
    const size_t odd = calls++ > 0 ? 1 : 0;
    std::vector<Token> tokens(odd, 0);
    for (size_t i = odd; i < text.size(); i += 2) tokens.push_back(i + 1 < text.size() ? 1 : 0);
    return tokens;
  }
  std::string TokenBytes(Token token, bool /*special*/) const override { return token == 0 ? "a" : "aa"; }
  std::string Decode(std::span<const Token> /*tokens*/, bool /*special*/) const override { return {}; }

 private:
  static VocabData TwoTokens() {
    VocabData vocab;
    vocab.model = "gpt2";
    vocab.tokens = {"a", "aa"};
    return vocab;
  }
  mutable int calls = 0;
};

TEST(WindowReaderTest, ReadingsThatNeverMeetAreJoinedAndCounted) {
  const PairTokenizer tokenizer;
  const std::string text(20'000, 'a');
  WindowReader reader(tokenizer, text, 8, {.least = 512, .most = 8192, .overlap = 2048});
  std::string spelled;
  for (const Token token : ReadAll(reader, text.size())) spelled += tokenizer.TokenBytes(token, false);
  EXPECT_GT(reader.joins(), 0);
  EXPECT_GT(spelled.size() + 16, text.size()) << "less than a window is left over: nothing twice, nothing lost";
  EXPECT_LE(spelled.size(), text.size());
}

}  // namespace
}  // namespace assay
