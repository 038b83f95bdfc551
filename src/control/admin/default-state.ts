/**
 * Where requests without a route go, as the API answers it.
 */
import { NO_UPSTREAM, type Table } from '../../rules/table/table.ts'

/** The upstream, or the status of the responses where there is none. */
export function defaultState({ default: upstream, defaultStatus }: Table): object {
  const hasNone = upstream === NO_UPSTREAM
  return { default: hasNone ? null : upstream, defaultStatus: hasNone ? defaultStatus : null }
}
