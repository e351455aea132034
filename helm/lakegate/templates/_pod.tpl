{{/* What all pods have. (dict "root" $ "component" c "serviceAccount" n "token" bool "resources" map) */}}
{{- define "lakegate.podBasics" -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: {{ .token }}
enableServiceLinks: false
{{- with concat .root.Values.imagePullSecrets (default (list) (.root.Values.global).imagePullSecrets) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $selector := include "lakegate.selector" . | fromYaml }}
  {{- range .root.Values.topologySpreadConstraints }}
  - {{- toYaml (merge (dict "labelSelector" (dict "matchLabels" $selector)) .) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The pod of a process that runs the gateway: with (dict ... "configMap" n "http" bool). */}}
{{- define "lakegate.gatewayPod" -}}
metadata:
  labels:
    {{- include "lakegate.labels" . | nindent 4 }}
    lakegate.io/metrics: "true"
    {{- with .root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ .config | sha256sum }}
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "lakegate.podBasics" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "lakegate.grace" .root }}
  {{- with .root.Values.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "lakegate.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        - serve
        - --config=/etc/lakegate/gateway.yaml
        - --log-level={{ .root.Values.logs.level }}
        {{- if .root.Values.logs.json }}
        - --json
        {{- end }}
      {{- with .root.Values.extraEnv }}
      env:
        {{- tpl (toYaml .) $.root | nindent 8 }}
      {{- end }}
      {{- with .root.Values.extraEnvFrom }}
      envFrom:
        {{- tpl (toYaml .) $.root | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: {{ include "lakegate.port" .root }}, protocol: TCP}
      {{- include "lakegate.probes" .root | nindent 6 }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ int .root.Values.drain.preStopSeconds }}}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        {{- toYaml .root.Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/lakegate/gateway.yaml, subPath: gateway.yaml, readOnly: true}
        - {name: state, mountPath: {{ (include "lakegate.server" .root | fromJson).state }}}
        - {name: scratch, mountPath: /tmp}
        {{- range include "lakegate.secretNames" .root.Values.config | splitList "\n" | compact | uniq | sortAlpha }}
        - {name: secret-{{ . | trunc 50 | trimSuffix "-" | replace "." "-" }}, mountPath: /etc/lakegate/secrets/{{ . }}, readOnly: true}
        {{- end }}
        {{- if and .root.Values.operator.enabled .root.Values.operator.clusterWide }}
        - {name: sites, mountPath: /etc/lakegate/sites, readOnly: true}
        {{- end }}
        {{- with .root.Values.extraVolumeMounts }}
        {{- tpl (toYaml .) $.root | nindent 8 }}
        {{- end }}
    {{- with .root.Values.extraContainers }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ .configMap }}}
    - name: state
      {{- if and .root.Values.persistence.enabled (not (include "lakegate.several" .root)) }}
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-state" (include "lakegate.fullname" .root)) .root.Values.persistence.existingClaim }}
      {{- else }}
      emptyDir: {sizeLimit: {{ .root.Values.scratch.size }}}
      {{- end }}
    - name: scratch
      emptyDir: {sizeLimit: {{ .root.Values.scratch.size }}}
    {{- range include "lakegate.secretNames" .root.Values.config | splitList "\n" | compact | uniq | sortAlpha }}
    - name: secret-{{ . | trunc 50 | trimSuffix "-" | replace "." "-" }}
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- if and .root.Values.operator.enabled .root.Values.operator.clusterWide }}
    - name: sites # made by the operator
      secret: {secretName: {{ include "lakegate.fullname" .root }}-sites, optional: true, defaultMode: 0440}
    {{- end }}
    {{- with .root.Values.extraVolumes }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Neither looks at a site: a lost one is no reason to restart, or to send nothing. */}}
{{- define "lakegate.probes" -}}
{{- $probes := .Values.probes -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  timeoutSeconds: {{ int $probes.timeoutSeconds }}
  failureThreshold: {{ div (int $probes.startupSeconds) 2 }}
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: {{ int $probes.periodSeconds }}
  timeoutSeconds: {{ int $probes.timeoutSeconds }}
  failureThreshold: {{ int $probes.failureThreshold }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: {{ max 1 (div (int $probes.periodSeconds) 2) }}
  timeoutSeconds: {{ int $probes.timeoutSeconds }}
  failureThreshold: 1
{{- end -}}
