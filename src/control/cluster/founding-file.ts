/**
 * The table file of a cluster instance: it founds the cluster and is not followed later. A warning is logged if it differs.
 */
import { unwatchFile, watchFile } from 'node:fs'
import type { LiveTable } from '../../state/live-table.ts'
import type { ControlLog } from '../control-log.ts'
import { readNow } from '../table/settled-text.ts'

const LOOK_MS = 5_000

/**
 * Warns once if the file differs from the cluster's table: at the start, when the cluster is joined later, and when the file is edited.
 * @param hasJoined whether the live table is the cluster's; if not, the next one is
 * @returns a function that stops it
 */
export function tellUnfollowed(
  path: string,
  cluster: string,
  hasJoined: boolean,
  live: LiveTable,
  log: ControlLog,
): () => void {
  let isAwaited = !hasJoined
  const look = async (): Promise<void> => {
    const reading = await readNow(path)
    if (!reading.ok || reading.text === live.current.text) return
    log.warn(
      { event: 'cluster', revision: live.current.number },
      `${path} differs from the table of cluster ${cluster}, and is not followed: make it the table of all instances with "banyan apply ${path}"`,
    )
    end()
  }
  const onChange = (): void => void look()
  const end = (): void => {
    isAwaited = false
    unwatchFile(path, onChange)
  }
  watchFile(path, { interval: LOOK_MS, persistent: false }, onChange)
  void look()
  live.onApply(() => {
    if (isAwaited) void look()
    isAwaited = false
  })
  return end
}
