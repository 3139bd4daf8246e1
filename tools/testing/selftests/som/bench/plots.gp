# SPDX-License-Identifier: GPL-2.0
#
# The plots of cost.txt: gnuplot -e "work='DIR'; out='DIR'; machine='TEXT'" plots.gp
# What is plotted is in work, from report.py.

set terminal svg size 900,420 dynamic background "white" font "sans-serif,13"
set label 1 "make bench; ".machine at screen 0.01, screen 0.03 left font ",10" \
	textcolor rgb "#666666"
set bmargin 5
set border 3
set tics nomirror out
set grid ytics linecolor rgb "#dddddd"
set style line 1 linecolor rgb "#1b6ca8" linewidth 2 pointtype 7 pointsize 0.6
set style line 2 linecolor rgb "#d1495b" linewidth 2 pointtype 5 pointsize 0.6
set style line 3 linecolor rgb "#edae49" linewidth 2 pointtype 9 pointsize 0.6
set style line 4 linecolor rgb "#66a182" linewidth 2 pointtype 11 pointsize 0.6
set style line 5 linecolor rgb "#8d6a9f" linewidth 2 pointtype 13 pointsize 0.6
set style fill solid noborder
set boxwidth 0.6

set logscale y
set format y "10^{%T}"
set ylabel "guest instructions"
set yrange [100:1e6]

set output out."/cost-touch.svg"
set title "First touch of 2 MiB (zero page: of 4 KiB)"
set xtics font ",11"
set key bottom center outside horizontal
set boxwidth 0.35
plot work."/touch.dat" using ($0-0.2):2 with boxes linestyle 1 \
		title "but zeroing", \
	"" using ($0+0.2):($3 > 0 ? $3 : NaN) with boxes linestyle 2 \
		title "zeroing, 8 bytes each", \
	"" using ($0-0.2):2:2 with labels offset 0,0.7 font ",10" notitle, \
	"" using ($0+0.2):($3 > 0 ? $3 : NaN):3 with labels offset 0,0.7 \
		font ",10" notitle, \
	"" using 0:(1e-9):xticlabels(1) with points pointtype 0 notitle

set output out."/cost-give.svg"
set xtics font ",13"
set title "Giving back: munmap of 1 GiB, each 2 MiB"
set boxwidth 0.6
set yrange [1:1e6]
plot work."/give.dat" using 0:2:xticlabels(1) with boxes linestyle 1 notitle, \
	"" using 0:2:2 with labels offset 0,0.7 font ",10" notitle

set output out."/cost-scale.svg"
set title "A fault, of so many at a time"
set yrange [1000:2e6]
set xrange [0.5:8.5]
set xtics (1, 2, 4, 8)
set xlabel "threads, or processes"
set key outside right
plot work."/scale.dat" using 1:2 with linespoints linestyle 1 title "som, threads", \
	"" using 1:5 with linespoints linestyle 1 dashtype 2 \
		title "som, processes", \
	"" using 1:3 with linespoints linestyle 2 title "THP, threads", \
	"" using 1:6 with linespoints linestyle 2 dashtype 2 \
		title "THP, processes", \
	"" using 1:4 with linespoints linestyle 3 title "HugeTLB, threads", \
	"" using 1:7 with linespoints linestyle 3 dashtype 2 \
		title "HugeTLB, processes"

set output out."/cost-sparse.svg"
set title "1 TiB mapped with MAP\\_NORESERVE: a fault, by how far it is"
set xrange [0:1024]
set xtics 128
set xlabel "GiB from the start"
plot work."/sparse.dat" using 1:2 with linespoints linestyle 1 title "som", \
	"" using 1:3 with linespoints linestyle 2 title "THP", \
	"" using 1:4 with linespoints linestyle 3 title "HugeTLB 2M"

set output out."/cost-memory.svg"
set title "What is kept beside 1 GiB"
unset xlabel
set xrange [-0.6:*]
set xtics auto rotate by -30
set yrange [1:1e5]
set ylabel "KiB"
set key outside right
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
plot work."/memory.dat" using 2:xticlabels(1) linestyle 1 title "struct pages", \
	"" using 3 linestyle 5 title "page tables of those", \
	"" using 4 linestyle 2 title "page tables", \
	"" using 5 linestyle 3 title "driver, or like it", \
	"" using 6 linestyle 4 title "VMA"
