// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Running float sums of scaled blocks: Results of them side by side at each of Places places.
//
// A place's first block is its sum as it is; each later one is added to the sum so far. The sum with products_i leaves
// float_pkg::latency(float_pkg::Add) cycles after it. Products of one place must be at least one cycle more apart.

module block_sum #(
  parameter  int Results   = 4,
  parameter  int Places    = 64,
  localparam int PlaceBits = (Places > 1) ? $clog2(Places) : 1
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  valid_i,
  input  logic                  first_i,
  input  logic [PlaceBits-1:0]  place_i,
  input  logic [Results*32-1:0] products_i,
  output logic [Results*32-1:0] sums_o
);

  localparam int AddLatency = float_pkg::latency(float_pkg::Add);

  logic [Results*32-1:0] sums_q [Places];
  logic [Results*32-1:0] previous;
  logic [Results*32-1:0] added;
  logic [Results*32-1:0] alone;
  logic                  write;
  logic                  first;
  logic [PlaceBits-1:0]  place;

  assign previous = sums_q[place_i];

  for (genvar i = 0; i < Results; i++) begin : gen_add
    float_add u_add (
      .clk_i,
      .a_i  (previous[i*32+:32]),
      .b_i  (products_i[i*32+:32]),
      .sum_o(added[i*32+:32])
    );
  end

  delay_line #(
    .Width (2 + PlaceBits),
    .Cycles(AddLatency)
  ) u_place_delay (
    .clk_i,
    .rst_ni,
    .data_i({valid_i, first_i, place_i}),
    .data_o({write, first, place})
  );

  delay_line #(
    .Width (Results * 32),
    .Cycles(AddLatency)
  ) u_product_delay (
    .clk_i,
    .rst_ni(1'b1),
    .data_i(products_i),
    .data_o(alone)
  );

  assign sums_o = first ? alone : added;

  always_ff @(posedge clk_i) begin
    if (write) begin
      sums_q[place] <= sums_o;
    end
  end

endmodule
