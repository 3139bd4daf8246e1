// SPDX-License-Identifier: GPL-2.0
/*
 * Empty chunks above a watermark go back to the source, at a rate.
 */
#include <linux/minmax.h>
#include <linux/workqueue.h>
#include "pool.h"
#include "trim.h"

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
