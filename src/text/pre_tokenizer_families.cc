#include "text/pre_tokenizer_families.h"

#include <algorithm>

namespace assay {
namespace {

using Matches = SplitRule::Matches;

// Inside a class, @ stands for white space, outside % for a punctuation mark (pre_tokenizer.cc). Patterns are those of
// the families' tokenizer.json files where they could be read, else llama.cpp's of September 2026; docs/tokenizers.md
// says where the two differ.
constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^@\p{L}\p{N}]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kQwen35 =  // marks stay with their letters
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^@\p{L}\p{M}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kMiniCpm5 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kJais2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]{512}(?![^@])|[@]{256}(?![^@])|[@]{128}(?![^@])|[@]{64}(?![^@])|[@]{32}(?![^@])|[@]{16}(?![^@])|[@]{8}(?![^@])|[@]{4}(?![^@])|[@]{1,2}(?![^@])|[@])";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^@\p{L}\p{N}]+|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]|[@]+(?![^@])|[@]+)";
constexpr std::string_view kExaoneMoe =  // words with one space between them are one piece
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N}| ?[^@\p{L}\p{N}]+[\r\n/]?|[@]*[\r\n]|[@]+(?![^@])|[@]+)";

// Words that begin with capitals and go on with small letters.
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^@\p{L}\p{N}]+[\r\n/]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^@\p{L}\p{N}]+[\r\n/]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kYoutu =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^@\p{L}\p{N}]+[\r\n/]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kKimi =  // the same among other scripts than Han
    R"(\p{sc:Han}+|[^\r\n\p{L}\p{N}]?(?:(?!\p{sc:Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])*(?:(?!\p{sc:Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?(?:(?!\p{sc:Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])+(?:(?!\p{sc:Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";

constexpr std::string_view kDeepSeek3 =
    R"([!-/:-\x40\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kDeepSeekLetters =
    R"([@]?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr std::string_view kDeepSeekPunctuation =
    R"([@]?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";
constexpr std::string_view kDeepSeekCjk = R"([\x{800}-\x{9FA5}\x{AC00}-\x{D7FF}]+)";
constexpr std::string_view kHanAndKana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{30FF}]+)";
constexpr std::string_view kYoutuScripts =
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5}\x{3040}-\x{30FF}]+)";
constexpr std::string_view kAfmoeScripts =  // blocks of East and South-East Asia
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{30FF}\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)";

// Hugging Face's Digits knows Unicode 17.
constexpr std::string_view kDigit = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])";
constexpr std::string_view kBloom = R"( ?[^(@|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)";
// Where a number ends at no word: \b of Hugging Face's engine, whose words have all of Alphabetic, Mark,
// Decimal_Number, Connector_Punctuation and six numbers of Latin-1.
constexpr std::string_view kFreeDigits =
    R"((?<!\p{Nd})\p{Nd}++(?![\p{L}\p{M}\p{Nl}\p{Pc}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}]))";

constexpr PreTokenizerFamily kFamilies[] = {
    {"default", {{{R"([\p{P}$+<=>^~|]+)"}, {kGpt2}, {R"(\p{N}+)"}, {"[0-9][0-9][0-9]"}}}},
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat a.x-4.0 mellum exaone4 modern-bert jina-es jina-de "
     "jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe",
     {{{kGpt2}}}},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", {{{kDigit}, {kGpt2}}}},
    {"falcon", {{{"%++"}, {kGpt2}, {"[0-9][0-9][0-9]"}}}},
    {"chameleon",
     {{{"<sentinel:[0-9]+>"}, {"IMGIMG[A-I]{1,4}Z"}, {R"([\t\n]|    |  )"}, {kDigit}, {"%"}, {kGpt2}}},
     false,
     true},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", {{{kLlama3}}}, true, true},
    {"dbrx smaug-bpe glm4 chatglm-bpe", {{{kLlama3}}}},
    {"jais-2", {{{kJais2}}}},
    {"minicpm5", {{{R"(\p{N}{1,3})"}, {kMiniCpm5}}}, true},
    {"qwen2 deepseek-r1-qwen stablelm2 megrez kormo f2llmv2 hunyuan solar-open grok-2", {{{kQwen2}}}},
    {"laguna", {{{R"([^\n]+|\n+)"}, {kQwen2}}}},
    {"qwen35", {{{kQwen35}}}},
    {"seed-coder", {{{kSeedCoder}}}},
    {"bailingmoe bailingmoe2 llada-moe", {{{kBailing}}}},
    {"exaone-moe", {{{kExaoneMoe}}}},
    {"tekken", {{{kTekken}}}, true, true},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", {{{kGpt4o}}}},
    {"granite-embed-multi-97m", {{{kGpt4o}}}, true},
    {"tiny_aya cohere2moe", {{{kFreeDigits, Matches::kThrees}, {kGpt4o}}}},
    {"youtu", {{{kYoutuScripts}, {kYoutu}}}, true},
    {"kimi-k2", {{{kKimi}}}},
    {"deepseek-v3 hunyuan-dense joyai-llm", {{{R"(\p{N}{1,3})"}, {kHanAndKana}, {kDeepSeek3}}}},
    {"deepseek-llm",
     {{{R"([\r\n])"}, {kDeepSeekLetters}, {kDeepSeekPunctuation}, {R"((?<![@])[@]++\z)"}, {kDeepSeekCjk}, {kDigit}}}},
    {"deepseek-coder", {{{R"([\r\n])"}, {R"([@]?\p{L}+)"}, {R"([@]?\p{P}+)"}, {kDeepSeekCjk}, {kDigit}}}},
    {"afmoe", {{{R"(\p{N}+)", Matches::kThrees}, {kAfmoeScripts}, {kDeepSeek3}}}},
    {"superbpe", {{{R"(\p{N}+)"}, {R"(\p{Nd}+)", Matches::kAtThrees}}}},
    {"poro-chat bloom gpt3-finnish", {{{kBloom}}}},
    {"viking", {{{kBloom}, {kDigit}}}},
    {"gemma4 granite-embed-multi-311m", {}, false, true, true},
    {"sarvam-moe", {}, false, false, true},
};

bool HasName(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const size_t end = std::min(names.find(' '), names.size());
    if (names.substr(0, end) == name) return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

}  // namespace

std::span<const PreTokenizerFamily> PreTokenizerFamilies() { return kFamilies; }

const PreTokenizerFamily* FindPreTokenizerFamily(std::string_view name) {
  for (const PreTokenizerFamily& family : kFamilies) {
    if (HasName(family.names, name)) return &family;
  }
  return nullptr;
}

}  // namespace assay
