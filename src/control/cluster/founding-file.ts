/**
 * The table file of an instance of a cluster: it founds the cluster, and is not followed later, which whoever edits it is told.
 */
import { unwatchFile, watchFile } from 'node:fs'
import type { LiveTable } from '../../state/live-table.ts'
import type { ControlLog } from '../control-log.ts'
import { readNow } from '../table/settled-text.ts'

const LOOK_MS = 5_000

/**
 * Says once when the file has another table than the cluster: at the start, and when it is edited.
 * @returns what ends that
 */
export function tellUnfollowed(path: string, cluster: string, live: LiveTable, log: ControlLog): () => void {
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
  const end = (): void => unwatchFile(path, onChange)
  watchFile(path, { interval: LOOK_MS, persistent: false }, onChange)
  void look()
  return end
}
