// SPDX-License-Identifier: GPL-2.0
/*
 * A heap that grows, dies young and old, and is compacted, by several threads, for
 * som_matrix.sh. It prints the same with every collector.
 */
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class Matrix {
	static final int THREADS = 2;

	static long work(int seed, int steps) {
		Map<Integer, byte[]> old = new HashMap<>();
		long x = seed, sum = 0;
		for (int i = 0; i < steps; i++) {
			x = x * 6364136223846793005L + 1442695040888963407L;
			int key = (int) (x >>> 40) % 1500;
			int size = 64 + (int) (x >>> 50);
			byte[] was = old.get(key);
			if (was != null)
				for (int at = 0; at < was.length; at += 97)
					sum = sum * 31 + was[at];
			byte[] now = new byte[size];
			for (int at = 0; at < size; at += 97)
				now[at] = (byte) (key + at);
			old.put(key, now);
			if (i % (steps / 4) == 0)
				System.gc();
		}
		return sum;
	}

	public static void main(String[] args) throws InterruptedException {
		int steps = Integer.parseInt(args[0]);
		long[] sums = new long[THREADS];
		List<Thread> threads = new ArrayList<>();
		for (int t = 0; t < THREADS; t++) {
			int nr = t;
			Thread thread = new Thread(() -> sums[nr] = work(nr, steps));
			threads.add(thread);
			thread.start();
		}
		for (Thread thread : threads)
			thread.join();
		for (long sum : sums)
			System.out.println(Long.toHexString(sum));
		try {
			List<long[]> all = new ArrayList<>();
			while (true)
				all.add(new long[1 << 20]);
		} catch (OutOfMemoryError e) {
			System.out.println("out of memory, as it should be");
		}
		System.out.println(Long.toHexString(work(9, steps)));
	}
}
