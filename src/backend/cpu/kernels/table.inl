// The kernel table of an instruction set; included last.

namespace assay::cpu::ASSAY_ISA {

constexpr KernelTable MakeTable() {
  KernelTable table = {};
  table.name = kIsaName;
  table.max_tile = kMaxTile;
  FillPackings(table.packings);
  table.encode = &Encode<EverydayCodes>;
  table.encode_fine = &Encode<FineCodes>;
  table.encode_shorts = &EncodeShorts;
  table.rms_norm = &RmsNorm;
  table.layer_norm = &LayerNorm;
  table.l2_norm = &L2Norm;
  table.silu = &SiluInPlace;
  table.gelu = &GeluInPlace;
  table.soft_cap = &SoftCap;
  table.silu_product = &SiluProduct;
  table.gelu_product = &GeluProduct;
  table.clamped_swiglu = &ClampedSwiglu;
  table.sigmoid_product = &SigmoidProduct;
  table.add_scaled = &AddScaled;
  table.sum_of_products = &SumOfProducts;
  table.largest_of_row = &FindLargest;
  table.sum_of_exponentials = &SumOfExponentials;
  table.to_half = &ToHalf;
  table.conv_silu = &ConvSilu;
  table.attend = &Attend;
  table.delta = &Delta;
  table.replay = &Replay;
  table.int8_loop = &Int8Loop;
  table.fma_loop = &FmaLoop;
  table.read_all = &ReadAll;
  return table;
}

}  // namespace assay::cpu::ASSAY_ISA
