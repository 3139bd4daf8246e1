// SPDX-License-Identifier: GPL-2.0
/*
 * Zero dirty units in the background, so that faults find zeroed ones.
 *
 * Each NUMA node with memory has one thread, at the lowest priority, on the node's
 * processors except isolated ones (isolcpus=, nohz_full=). If no other processor of the
 * node is online, it runs on those of other nodes. It zeroes at most zero_rate units per
 * second.
 *
 * A unit that is being zeroed cannot be allocated, and an allocation may wait for it, so
 * the thread disables preemption meanwhile. It checks need_resched() after each 64 KiB; if
 * that is set, it returns the unit as dirty and pauses.
 *
 * A work item per freed unit would run at once, on a processor that is likely to be busy.
 */
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/sched/isolation.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/workqueue.h>
#include "pool.h"
#include "range.h"
#include "zero.h"

/* Pages to zero between checks of need_resched(). */
#define SOM_ZERO_PAGES		16
/* Units per second; above any machine's capability. */
#define SOM_ZERO_MOST		1000000UL
/* Pause after need_resched(), in milliseconds. */
#define SOM_ZERO_PAUSE_MS	20
/* Length of a round, in milliseconds. Its share of units is zeroed in one go. */
#define SOM_ZERO_ROUND_MS	20

unsigned long som_zero_rate = 1024;
module_param_named(zero_rate, som_zero_rate, ulong, 0444);
MODULE_PARM_DESC(zero_rate, "units to zero in the background, per node and second (default 1024; 0: none)");

static struct task_struct **som_zero_threads;
static atomic_long_t som_zero_nr;
static atomic_long_t som_zero_paused;
static int som_zero_hotplug;

/* Zero a unit. Return: false if another task needs the processor. */
static bool zero_unit(som_unit_t unit)
{
	void *mem = som_unit_address(unit);
	unsigned long i;

	for (i = 0; i < SOM_UNIT_PAGES; i++) {
		if (i % SOM_ZERO_PAGES == 0 && need_resched())
			return false;
		clear_page(mem + i * PAGE_SIZE);
	}
	return true;
}

/* Zero up to @nr units of a node. Return: false if another task needs the processor. */
static bool zero_round(int nid, unsigned int nr)
{
	bool zeroed;
	som_unit_t unit;

	/* A rate of 0 takes effect at the next unit. */
	while (nr-- && READ_ONCE(som_zero_rate) && !kthread_should_stop()) {
		preempt_disable();
		unit = som_pool_zero_begin(nid);
		zeroed = !som_unit_failed(unit) && zero_unit(unit);
		if (!som_unit_failed(unit))
			som_pool_zero_end(unit, zeroed);
		preempt_enable();
		if (som_unit_failed(unit))
			break;
		if (!zeroed)
			return false;
		atomic_long_inc(&som_zero_nr);
		cond_resched();
	}
	return true;
}

static bool may_zero(int nid)
{
	return kthread_should_stop() ||
	       (READ_ONCE(som_zero_rate) && som_pool_has_dirty(nid));
}

static int zero_thread(void *data)
{
	int nid = (long)data;
	unsigned long parts = 0;	/* remainder, in thousandths of a unit */
	unsigned int ms = SOM_ZERO_ROUND_MS;

	set_user_nice(current, MAX_NICE);
	while (!kthread_should_stop()) {
		wait_event_idle(*som_pool_dirty_wait(nid), may_zero(nid));
		parts += ms * min(READ_ONCE(som_zero_rate), SOM_ZERO_MOST);
		ms = SOM_ZERO_ROUND_MS;
		if (!zero_round(nid, parts / 1000)) {
			atomic_long_inc(&som_zero_paused);
			ms = SOM_ZERO_PAUSE_MS;
		}
		parts %= 1000;
		schedule_timeout_idle(msecs_to_jiffies(ms));
	}
	return 0;
}

/**
 * som_zero_changed - Apply a new rate
 * Context: Process context.
 */
void som_zero_changed(void)
{
	int nid;

	for_each_node_state(nid, N_MEMORY)
		wake_up(som_pool_dirty_wait(nid));
}

/**
 * som_zero_total - Count the units zeroed in the background
 * Return: number of units since the module was loaded.
 */
unsigned long som_zero_total(void)
{
	return atomic_long_read(&som_zero_nr);
}

/**
 * som_zero_pauses - Count how often background zeroing yielded the processor
 * Return: number of times since the module was loaded.
 */
unsigned long som_zero_pauses(void)
{
	return atomic_long_read(&som_zero_paused);
}

/*
 * Place the threads on online processors. @but: one that is going offline, or -1.
 * A processor that comes online may be the first of its node. If the last processor that a
 * thread may use goes offline, the scheduler would place the thread on any processor.
 */
static void place_threads(int but)
{
	static DEFINE_MUTEX(one_at_a_time);
	static struct cpumask all, near;
	unsigned int nid;

	mutex_lock(&one_at_a_time);
	cpumask_and(&all, housekeeping_cpumask(HK_TYPE_DOMAIN),
		    housekeeping_cpumask(HK_TYPE_KTHREAD));
	cpumask_and(&all, &all, cpu_online_mask);
	if (but >= 0)
		cpumask_clear_cpu(but, &all);
	for (nid = 0; nid < nr_node_ids; nid++) {
		struct task_struct *thread = som_zero_threads[nid];

		if (!thread)
			continue;
		if (cpumask_and(&near, &all, cpumask_of_node(nid)))
			set_cpus_allowed_ptr(thread, &near);
		else if (!cpumask_empty(&all))
			set_cpus_allowed_ptr(thread, &all);
	}
	mutex_unlock(&one_at_a_time);
}

static int som_zero_cpu_online(unsigned int cpu)
{
	place_threads(-1);
	return 0;
}

static int som_zero_cpu_offline(unsigned int cpu)
{
	place_threads(cpu);
	return 0;
}

/**
 * som_zero_exit - Stop the threads
 * Context: Module unload; the pool still exists.
 */
void som_zero_exit(void)
{
	unsigned int nid;

	if (som_zero_hotplug > 0)
		cpuhp_remove_state_nocalls(som_zero_hotplug);
	for (nid = 0; nid < nr_node_ids; nid++) {
		if (som_zero_threads[nid])
			kthread_stop(som_zero_threads[nid]);
	}
	kfree(som_zero_threads);
}

/**
 * som_zero_init - Start the threads
 * Context: Module load; the pool exists.
 * Return: 0 or -errno.
 */
int som_zero_init(void)
{
	struct task_struct *thread;
	int nid, ret;

	som_zero_threads = kcalloc(nr_node_ids, sizeof(*som_zero_threads),
				   GFP_KERNEL);
	if (!som_zero_threads)
		return -ENOMEM;
	for_each_node_state(nid, N_MEMORY) {
		thread = kthread_create_on_node(zero_thread, (void *)(long)nid,
						nid, "som_zero/%d", nid);
		if (IS_ERR(thread)) {
			som_zero_exit();
			return PTR_ERR(thread);
		}
		som_zero_threads[nid] = thread;
	}
	ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "som:online",
					som_zero_cpu_online,
					som_zero_cpu_offline);
	if (ret < 0) {
		som_zero_exit();
		return ret;
	}
	som_zero_hotplug = ret;
	place_threads(-1);
	for (nid = 0; nid < nr_node_ids; nid++) {
		if (som_zero_threads[nid])
			wake_up_process(som_zero_threads[nid]);
	}
	return 0;
}

/* Trimming: return empty chunks above a watermark to their source at a limited rate. */

unsigned long som_shrink_low;
unsigned long som_shrink_rate;

static void som_trim_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(trim_work, som_trim_work);

static void queue_trim_work(unsigned long rate)
{
	queue_delayed_work(system_unbound_wq, &trim_work,
			   msecs_to_jiffies(60000 / min(rate, 60000UL)));
}

static void som_trim_work(struct work_struct *work)
{
	unsigned long rate = READ_ONCE(som_shrink_rate);

	if (!rate)
		return;
	som_pool_trim(READ_ONCE(som_shrink_low));
	queue_trim_work(rate);
}

/**
 * som_trim_changed - Apply a new watermark or rate
 * Context: Process context.
 */
void som_trim_changed(void)
{
	unsigned long rate = READ_ONCE(som_shrink_rate);

	cancel_delayed_work_sync(&trim_work);
	if (rate)
		queue_trim_work(rate);
}

/**
 * som_trim_exit - Stop the trim work
 * Context: Module unload; the rate cannot be changed.
 */
void som_trim_exit(void)
{
	cancel_delayed_work_sync(&trim_work);
}
