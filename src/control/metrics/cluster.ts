/**
 * Metrics of an instance of a cluster.
 */
import type { Cluster } from '../cluster/cluster.ts'
import { type Metric, metric } from './format.ts'

/** How this instance stands in its cluster; nothing without one. */
export function clusterMetrics(cluster: Cluster | undefined): Metric[] {
  if (cluster === undefined) return []
  const { isInStep, epoch, instances } = cluster.figures()
  const one = (value: number): [[Record<string, string>, number]] => [[{}, value]]
  return [
    metric(
      'banyan_cluster_in_step',
      'gauge',
      '0 while the instance does not follow its cluster.',
      one(isInStep ? 1 : 0),
    ),
    metric('banyan_cluster_epoch', 'gauge', 'How often the Redis of the cluster was filled.', one(epoch)),
    metric(
      'banyan_table_drift',
      'gauge',
      '1 while a followed table file is not the table that is live.',
      one(cluster.followed?.drift == null ? 0 : 1),
    ),
    metric('banyan_cluster_instances', 'gauge', 'Instances that are there, as this one knows.', one(instances)),
  ]
}
