{{/* Labels of every object beside `app`, which the selectors use. */}}
{{- define "exchange.labels" -}}
app.kubernetes.io/part-of: exchange
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "exchange.secretName" -}}
{{ .Values.secrets.existingSecret | default "exchange-secrets" }}
{{- end }}

{{- define "exchange.apiImage" -}}
{{ .Values.api.image }}:{{ .Values.api.tag | default (printf "v%s" .Chart.AppVersion) }}
{{- end }}

{{- define "exchange.frontendImage" -}}
{{ .Values.frontend.image }}:{{ .Values.frontend.tag | default (printf "v%s" .Chart.AppVersion) }}
{{- end }}

{{/* A value that an installation without an existing secret must give. Arguments: the name of the value and the value. */}}
{{- define "exchange.requiredSecret" -}}
{{- required (printf "%s is not set. Either set secrets.existingSecret to a Secret of yours (kubernetes/make-secrets.sh makes one), or give %s." (first .) (first .)) (last .) -}}
{{- end }}

{{/* The processes of the backend: their names are those of their objects. */}}
{{- define "exchange.backend" -}}
exchange-api{{ if eq .Values.roles "apart" }} exchange-engine exchange-projector exchange-publisher{{ end }}
{{- end }}

{{/* Where a NetworkPolicy lets the backend in from. */}}
{{- define "exchange.fromBackend" -}}
{{- range splitList " " (include "exchange.backend" .) }}
- podSelector:
    matchLabels:
      app: {{ . }}
{{- end }}
{{- end }}

{{/* Deployment, Service and NetworkPolicy of one process of the backend. Arguments: root, name, arguments (of `exchange serve`),
replicas, resources, strategy, served (whether clients come in). */}}
{{- define "exchange.process" -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    app: {{ .name }}
    {{- include "exchange.labels" $root | nindent 4 }}
spec:
  replicas: {{ .replicas }}
  revisionHistoryLimit: 5
  strategy:
    {{- toYaml .strategy | nindent 4 }}
  selector:
    matchLabels:
      app: {{ .name }}
  template:
    metadata:
      labels:
        app: {{ .name }}
        app.kubernetes.io/part-of: exchange
      annotations:
        # New settings reach a process only by a new pod.
        checksum/config: {{ include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum }}
        checksum/secret: {{ include (print $root.Template.BasePath "/secret.yaml") $root | sha256sum }}
    spec:
      automountServiceAccountToken: false
      # Service links would fill the environment with EXCHANGE_API_* and REDIS_* variables beside our settings.
      enableServiceLinks: false
      # Time to answer what was accepted, commit the batch and give the lease back.
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile:
          type: RuntimeDefault
      affinity:
        podAntiAffinity:
          # Who stands by on the node of another would fall with it.
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                topologyKey: kubernetes.io/hostname
                labelSelector:
                  matchLabels:
                    app: {{ .name }}
      containers:
        - name: {{ .name }}
          image: {{ include "exchange.apiImage" $root }}
          imagePullPolicy: IfNotPresent
          command: [{{ join ", " (concat (list "exchange" "serve") .arguments) }}]
          envFrom:
            - configMapRef:
                name: exchange-config
          env:
            - name: DATABASE_URL
              valueFrom:
                secretKeyRef:
                  name: {{ include "exchange.secretName" $root }}
                  key: DATABASE_URL
            - name: REDIS_URL
              valueFrom:
                secretKeyRef:
                  name: {{ include "exchange.secretName" $root }}
                  key: REDIS_URL
                  {{- if eq $root.Values.roles "together" }}
                  # Together the roles need no Redis.
                  optional: true
                  {{- end }}
            - name: JWT_SECRET
              valueFrom:
                secretKeyRef:
                  name: {{ include "exchange.secretName" $root }}
                  key: JWT_SECRET
          ports:
            - name: http
              containerPort: 8080
          # A migration and the replay of the journal's tail come before the first answer: ten minutes, then a restart.
          startupProbe:
            httpGet:
              path: /livez
              port: http
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 120
          readinessProbe:
            httpGet:
              path: /readyz
              port: http
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 2
          # Three minutes: a process that lost its database recovers by itself when it is back. A restart before then would
          # only add the back-off of a crash loop.
          livenessProbe:
            httpGet:
              path: /livez
              port: http
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 18
          # Memory is limited, CPU is not: throttling would stop the matching thread in the middle of a batch.
          resources:
            {{- toYaml .resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: home
              mountPath: /var/lib/exchange
            - name: tmp
              mountPath: /tmp
      volumes:
        # Nothing durable: with DATABASE_URL the home directory holds only scratch files.
        - name: home
          emptyDir:
            sizeLimit: 1Gi
        - name: tmp
          emptyDir:
            sizeLimit: 256Mi
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    app: {{ .name }}
    {{- include "exchange.labels" $root | nindent 4 }}
spec:
  {{- if not .served }}
  # Nobody calls it but Prometheus, which wants every pod.
  clusterIP: None
  {{- end }}
  selector:
    app: {{ .name }}
  ports:
    - name: http
      port: 8080
      targetPort: http
{{- if $root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    app: {{ .name }}
    {{- include "exchange.labels" $root | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      app: {{ .name }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        {{- if .served }}
        - podSelector:
            matchLabels:
              app: exchange-frontend
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $root.Values.networkPolicy.ingressNamespace }}
        {{- end }}
        # Prometheus, for /metrics, which the ingress does not route.
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $root.Values.networkPolicy.monitoringNamespace }}
      ports:
        - port: 8080
  egress:
    {{- if $root.Values.postgres.enabled }}
    - to:
        - podSelector:
            matchLabels:
              app: postgres
      ports:
        - port: 5432
    {{- end }}
    {{- if $root.Values.redis.enabled }}
    - to:
        - podSelector:
            matchLabels:
              app: redis
      ports:
        - port: 6379
    {{- end }}
    {{- with $root.Values.networkPolicy.apiEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- if eq .strategy.type "RollingUpdate" }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    app: {{ .name }}
    {{- include "exchange.labels" $root | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: {{ .name }}
{{- end }}
{{- end }}
