/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints: events/som in tracefs. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM som

#if !defined(_SOM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _SOM_TRACE_H

#include <linux/tracepoint.h>
#include "range.h"

TRACE_EVENT(som_fault,
	    TP_PROTO(unsigned long address, som_unit_t unit,
		     unsigned long entry_size, bool write),
	    TP_ARGS(address, unit, entry_size, write),
	    TP_STRUCT__entry(__field(unsigned long, address)
		__field(unsigned long, unit)
		__field(unsigned long, entry_size)
		__field(bool, write)
	    ),
	    TP_fast_assign(__entry->address = address;
		__entry->unit = som_unit_nr(unit);
		__entry->entry_size = entry_size;
		__entry->write = write;
	    ),
	    TP_printk("address=0x%lx unit=%lu entry_size=%lu write=%d",
		      __entry->address, __entry->unit, __entry->entry_size,
		      __entry->write)
);

TRACE_EVENT(som_unit_alloc,
	    TP_PROTO(som_unit_t unit, bool cleared),
	    TP_ARGS(unit, cleared),
	    TP_STRUCT__entry(__field(unsigned long, unit)
		__field(bool, cleared)
	    ),
	    TP_fast_assign(__entry->unit = som_unit_nr(unit);
		__entry->cleared = cleared;
	    ),
	    TP_printk("unit=%lu cleared=%d", __entry->unit, __entry->cleared)
);

TRACE_EVENT(som_unit_free,
	    TP_PROTO(som_unit_t unit, bool quarantined),
	    TP_ARGS(unit, quarantined),
	    TP_STRUCT__entry(__field(unsigned long, unit)
		__field(bool, quarantined)
	    ),
	    TP_fast_assign(__entry->unit = som_unit_nr(unit);
		__entry->quarantined = quarantined;
	    ),
	    TP_printk("unit=%lu held=%d", __entry->unit, __entry->quarantined)
);

TRACE_EVENT(som_unit_poison,
	    TP_PROTO(som_unit_t unit, unsigned long pfn, bool used),
	    TP_ARGS(unit, pfn, used),
	    TP_STRUCT__entry(__field(unsigned long, unit)
		__field(unsigned long, pfn)
		__field(bool, used)
	    ),
	    TP_fast_assign(__entry->unit = som_unit_nr(unit);
		__entry->pfn = pfn;
		__entry->used = used;
	    ),
	    TP_printk("unit=%lu pfn=0x%lx used=%d", __entry->unit, __entry->pfn,
		      __entry->used)
);

TRACE_EVENT(som_unit_move,
	    TP_PROTO(som_unit_t from, som_unit_t to),
	    TP_ARGS(from, to),
	    TP_STRUCT__entry(__field(unsigned long, from)
		__field(unsigned long, to)
	    ),
	    TP_fast_assign(__entry->from = som_unit_nr(from);
		__entry->to = som_unit_nr(to);
	    ),
	    TP_printk("from=%lu to=%lu", __entry->from, __entry->to)
);

DECLARE_EVENT_CLASS(som_chunk,
		    TP_PROTO(unsigned long chunk, int nid),
		    TP_ARGS(chunk, nid),
		    TP_STRUCT__entry(__field(unsigned long, chunk)
			__field(int, nid)
		    ),
		    TP_fast_assign(__entry->chunk = chunk;
			__entry->nid = nid;
		    ),
		    TP_printk("chunk=%lu nid=%d", __entry->chunk, __entry->nid)
);

DEFINE_EVENT(som_chunk, som_chunk_get,
	     TP_PROTO(unsigned long chunk, int nid),
	     TP_ARGS(chunk, nid)
);

DEFINE_EVENT(som_chunk, som_chunk_put,
	     TP_PROTO(unsigned long chunk, int nid),
	     TP_ARGS(chunk, nid)
);

#endif /* _SOM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
