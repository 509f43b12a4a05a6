// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The argmax unit: the index of the largest of a row of float32, a beat of Lanes values a cycle.
//
// The lowest index wins among equals; -0 is below +0; a NaN is above every number, and all NaNs are equal. A row may
// take several commands: first forgets what came before, last writes the winner's index to the token memory. Values
// are lane after lane, word after word; the first has index base.
//
// The command is packed from its lowest bit: source (word address), base, length (1 at least), first, last, place (in
// the token memory). Memories answer a read in the next cycle.
// Accepted in cycle a, done_o stands in cycle a + beats + 4 + $clog2(Lanes), beats = length / Lanes rounded up; it is
// ready again in the next.

module argmax #(
  parameter  int Lanes       = 16,  // a power of two, 4 at least
  parameter  int SpaceBits   = 12,
  parameter  int LengthBits  = 16,
  parameter  int PlaceBits   = 10,
  localparam int IndexBits   = 32,
  localparam int CommandBits = SpaceBits + IndexBits + LengthBits + 2 + PlaceBits
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   command_valid_i,
  output logic                   command_ready_o,
  input  logic [CommandBits-1:0] command_i,
  output logic                   done_o,
  output logic                   source_read_o,
  output logic [SpaceBits-1:0]   source_address_o,
  input  logic [Lanes*32-1:0]    source_data_i,
  output logic                   token_write_o,
  output logic [PlaceBits-1:0]   token_address_o,
  output logic [IndexBits-1:0]   token_data_o
);

  localparam int LaneBits  = $clog2(Lanes);
  localparam int BeatsBits = LengthBits - LaneBits;

  // As signed integers: below every float's order, and that of a NaN.
  localparam logic signed [31:0] Below = 32'sh8000_0000;
  localparam logic signed [31:0] Above = 32'sh7FFF_FFFF;

  // The command.
  logic [SpaceBits-1:0]  source;
  logic [IndexBits-1:0]  base;
  logic [LengthBits-1:0] length;
  logic                  first;
  logic                  last;
  logic [PlaceBits-1:0]  place;
  logic                  accept;

  assign {place, last, first, length, base, source} = command_i;

  logic                  busy_q;
  logic                  read_q;  // a beat a cycle
  logic [IndexBits-1:0]  index_q;  // of the beat's first value
  logic [BeatsBits-1:0]  beat_q;
  logic [LengthBits-1:0] last_q;  // place of the last value
  logic                  write_q;
  logic                  last_beat;
  logic [Lanes-1:0]      tail;    // lanes of the last beat that the row fills

  assign command_ready_o = ~busy_q;
  assign accept          = command_valid_i & command_ready_o;
  assign last_beat       = beat_q == last_q[LengthBits-1:LaneBits];
  assign tail            = {Lanes{1'b1}} >> ~last_q[LaneBits-1:0];
  assign source_read_o   = read_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q <= 1'b0;
      read_q <= 1'b0;
    end else begin
      busy_q <= accept | (busy_q & ~done_o);
      read_q <= accept | (read_q & ~last_beat);
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      source_address_o <= source;
      index_q          <= base;
      beat_q           <= '0;
      last_q           <= length - 1'b1;
      write_q          <= last;
      token_address_o  <= place;
    end else if (read_q) begin
      source_address_o <= source_address_o + 1'b1;
      index_q          <= index_q + IndexBits'(Lanes);
      beat_q           <= beat_q + 1'b1;
    end
  end

  // What works on values rests between commands.
  logic data_clk;

  clock_gate u_clock_gate (
    .clk_i,
    .enable_i(busy_q),
    .clk_o   (data_clk)
  );

  // Orders of the values read, registered, as the leaves of a tree; node i has the children 2 i and 2 i + 1, which
  // are a level and a cycle before it, and the root is node 1. With each the place of its value in the beat.
  logic                    read_last_q;
  logic signed [31:0]      order_q [1:2*Lanes-1];
  logic        [LaneBits-1:0] lane_q [1:2*Lanes-1];

  always_ff @(posedge data_clk) begin
    read_last_q <= last_beat;
  end

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_leaf
    logic [31:0] value;

    assign value = source_data_i[lane*32+:32];

    always_ff @(posedge data_clk) begin
      order_q[Lanes+lane] <= float_pkg::is_nan(value[30:0]) ? Above : float_pkg::order_key(value);
      lane_q[Lanes+lane]  <= LaneBits'(lane);
      if (read_last_q && !tail[lane]) begin
        order_q[Lanes+lane] <= Below;
      end
    end
  end

  for (genvar node = 1; node < Lanes; node++) begin : gen_node
    logic right;

    assign right = order_q[2*node+1] > order_q[2*node];

    always_ff @(posedge data_clk) begin
      order_q[node] <= right ? order_q[2*node+1] : order_q[2*node];
      lane_q[node]  <= right ? lane_q[2*node+1] : lane_q[2*node];
    end
  end

  // What goes with a beat's largest.
  logic                 largest_valid;
  logic                 largest_last;
  logic [IndexBits-1:0] largest_base;
  logic [IndexBits-1:0] largest_index;

  delay_line #(
    .Width (2 + IndexBits),
    .Cycles(2 + LaneBits)
  ) u_delay (
    .clk_i (data_clk),
    .rst_ni,
    .data_i({read_q, read_q & last_beat, index_q}),
    .data_o({largest_valid, largest_last, largest_base})
  );

  assign largest_index = largest_base + IndexBits'(lane_q[1]);

  // The winner so far, kept from a command to the next.
  logic signed [31:0]   winner_order_q;
  logic [IndexBits-1:0] winner_q;
  logic                 finish_q;

  always_ff @(posedge clk_i) begin
    if (accept && first) begin
      winner_order_q <= Below;
    end else if (largest_valid
                 && (order_q[1] > winner_order_q
                     || (order_q[1] == winner_order_q && largest_index < winner_q))) begin
      winner_order_q <= order_q[1];
      winner_q       <= largest_index;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      finish_q <= 1'b0;
      done_o   <= 1'b0;
    end else begin
      finish_q <= largest_last;
      done_o   <= finish_q;
    end
  end

  assign token_write_o = done_o & write_q;
  assign token_data_o  = winner_q;

endmodule
