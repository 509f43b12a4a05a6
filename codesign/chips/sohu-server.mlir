// A server of eight Etched Sohu, as announced; the link is an assumption.
chip.system @sohu_server {
  chip.instance @chip count(8) {design = @sohu}
      sources {count = "press: eight chips a server, Etched announcement, 2024-06"}
  chip.link @link {kind = "unknown", bandwidth = "450 GB/s", topology = "all_to_all"}
      sources {bandwidth = "estimated: assumption, as the H100's; range 100 to 900 GB/s"}
}
