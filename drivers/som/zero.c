// SPDX-License-Identifier: GPL-2.0
/*
 * The zeroed reserve: dirty units are zeroed in the background, so that a fault finds
 * one that is ready.
 *
 * One thread for each NUMA node with memory, with the lowest priority, on the node's
 * processors, but on none that is isolated (isolcpus=, nohz_full=). If no other
 * processor of the node is online, it runs on those of other nodes. It zeroes zero_rate
 * units a second at most. A unit that is being zeroed can be given to nobody,
 * and somebody with a reservation may wait for it; so the thread is not preempted while it
 * has one. It looks after each 64 KiB whether anybody else wants the processor. If
 * so, it puts the unit back as it was, dirty, and pauses.
 *
 * The alternative was a work item for each unit that is freed. It would have been
 * done at once, that is, by the processor that has just got something better to do.
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

/* Pages between two looks whether the processor is wanted. */
#define SOM_ZERO_PAGES		16
/* More units a second than any machine has. */
#define SOM_ZERO_MOST		1000000UL
/* How long it is left alone then, in milliseconds. */
#define SOM_ZERO_PAUSE_MS	20
/* What may be zeroed in this time is zeroed in one go, in milliseconds. */
#define SOM_ZERO_ROUND_MS	20

unsigned long som_zero_rate = 1024;
module_param_named(zero_rate, som_zero_rate, ulong, 0444);
MODULE_PARM_DESC(zero_rate, "units that are zeroed in the background, per node and second (default 1024; 0: none)");

static struct task_struct **som_zero_threads;
static atomic_long_t som_zero_nr;
static atomic_long_t som_zero_paused;
static int som_zero_hotplug;

/* Zero a unit unless the processor is wanted; true if it was zeroed. */
static bool zero_unit(unsigned long unit)
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

/* Zero up to nr units of a node; false if the processor was wanted. */
static bool zero_round(int nid, unsigned int nr)
{
	bool zeroed;
	long unit;

	/* A rate of 0 holds from the next unit on. */
	while (nr-- && READ_ONCE(som_zero_rate) && !kthread_should_stop()) {
		preempt_disable();
		unit = som_pool_zero_begin(nid);
		zeroed = unit >= 0 && zero_unit(unit);
		if (unit >= 0)
			som_pool_zero_end(unit, zeroed);
		preempt_enable();
		if (unit < 0)
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
	unsigned long parts = 0;	/* of a unit, in thousandths */
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
 * som_zero_changed - the rate was changed
 *
 * Context: Process context.
 */
void som_zero_changed(void)
{
	int nid;

	for_each_node_state(nid, N_MEMORY)
		wake_up(som_pool_dirty_wait(nid));
}

/**
 * som_zero_total - how much was zeroed in the background
 *
 * Return: number of units, since the module was loaded.
 */
unsigned long som_zero_total(void)
{
	return atomic_long_read(&som_zero_nr);
}

/**
 * som_zero_pauses - how often somebody else wanted the processor
 *
 * Return: number, since the module was loaded.
 */
unsigned long som_zero_pauses(void)
{
	return atomic_long_read(&som_zero_paused);
}

/*
 * Put the threads on processors. @but: one that is going offline, or -1.
 *
 * A processor that comes may be the first of its node. When the last one that a thread
 * can run on goes, the scheduler would put the thread anywhere.
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
 * som_zero_exit - stop the threads
 *
 * Context: Module unload; the pool is still there.
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
 * som_zero_init - start the threads
 *
 * Context: Module load; the pool is there.
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

/*
 * Empty chunks above a watermark go back to the source, at a rate.
 */

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
 * som_trim_changed - somebody has changed the watermark or the rate
 *
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
 * som_trim_exit - the end of the module
 *
 * Context: Module unload; nobody can change the rate.
 */
void som_trim_exit(void)
{
	cancel_delayed_work_sync(&trim_work);
}
